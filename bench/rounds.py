"""Several rounds of the same measurements, and what counts of them.

A machine that others share slows down for minutes at a time: whoever is measured then looks slow
beside the others. So all systems are measured in turn, several times, and of each workload that
round counts in which it went fastest, for every system alike: what happens beside it can only slow
it down. Of gaps the longest counts. What went wrong in any round is told.
"""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
Row = dict[str, Any]


def merged(rounds: list[Report]) -> Report:
    """One report of a system's reports, the first round first."""
    report = dict(rounds[-1])
    if not all(each["skipped"] for each in rounds):
        # In one that was skipped nothing was measured: another one tells more.
        report["skipped"] = ""
    names = dict.fromkeys(name for each in rounds for name in each["rows"])
    report["rows"] = {
        name: _best([e["rows"][name] for e in rounds if name in e["rows"]]) for name in names
    }
    return report


def _best(rows: list[Row]) -> Row:
    gaps = [row for row in rows if "gap_longest_ms" in row]
    if gaps:
        return max(gaps, key=lambda row: float(row["gap_longest_ms"]))
    return max(rows, key=lambda row: float(row.get("rate", 0.0)))
