"""Of several rounds the fastest counts, of gaps the longest; what was measured once is kept."""

from __future__ import annotations

from typing import Any

from bench.rounds import merged


def report(skipped: str = "", **rows: dict[str, Any]) -> dict[str, Any]:
    return {"system": "becket", "skipped": skipped, "rows": rows}


def test_of_each_workload_the_fastest_round_counts() -> None:
    one = report(get={"rate": 10.0, "p50_ms": 1}, put={"rate": 5.0}, kill={"gap_longest_ms": 500})
    two = report(get={"rate": 20.0, "p50_ms": 2}, put={"rate": 4.0}, kill={"gap_longest_ms": 400})
    rows = merged([one, two])["rows"]
    assert rows["get"] == {"rate": 20.0, "p50_ms": 2}
    assert rows["put"]["rate"] == 5.0
    assert rows["kill"]["gap_longest_ms"] == 500
    assert list(rows) == ["get", "put", "kill"]


def test_a_round_that_ended_early_takes_nothing_away() -> None:
    whole = report(get={"rate": 10.0}, put={"rate": 5.0}, scan={"skipped": "no order"})
    found = merged([whole, report(get={"rate": 11.0}), report("it took too long")])
    assert found["rows"] == {
        "get": {"rate": 11.0},
        "put": {"rate": 5.0},
        "scan": {"skipped": "no order"},
    }
    assert found["skipped"] == ""
    assert merged([report("no server"), report("no server")])["skipped"] == "no server"
