"""The record of a client pod: written by the workload, read back, and judged as it should be."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from becket.core.errors import ConditionFailedError, NotAppliedError, OutcomeUnknownError
from tests.e2e import workload
from tests.e2e.history import History, read
from tests.e2e.workload import Order, Record, Worker


class Register:
    """A store of one process, which may answer wrongly."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, str]] = {}
        self.sums: dict[str, int] = {}
        self.made = 0
        self.fault = ""

    async def do(self, operation: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        key, fault, self.fault = operation["k"], self.fault, ""
        if fault == "refused":
            raise NotAppliedError("no")
        match operation["op"]:
            case "get":
                return self._get(key)
            case "delete":
                return {"deleted": self.held.pop(key, None) is not None}
            case "incr":
                if fault != "lost":
                    self.sums[key] = self.sums.get(key, 0) + 1
                return {"sum": self.sums.get(key, 0) + (fault == "lost")}
            case _:
                return self._put(operation, fault)

    def _get(self, key: str) -> dict[str, Any]:
        if key in self.sums:
            return {"found": [str(self.sums[key]), f"{self.sums[key]:02x}ff"]}
        return {"found": list(self.held[key]) if key in self.held else None}

    def _put(self, operation: dict[str, Any], fault: str) -> dict[str, Any]:
        key = operation["k"]
        present = self.held.get(key)
        if operation.get("absent") and present is not None:
            raise ConditionFailedError(bytes.fromhex(present[1]))
        if "if" in operation and (present is None or present[1] != operation["if"]):
            raise ConditionFailedError(bytes.fromhex(present[1]) if present else b"")
        self.made += 1
        version = f"{self.made:08x}"
        if fault != "lost":
            self.held[key] = (operation["v"], version)
        if fault == "unknown":
            raise OutcomeUnknownError("who knows")
        return {"version": version}


async def recorded(path: Path, fault: str = "") -> History:
    """What is made of some hundred operations, with one fault in the middle."""
    store, record = Register(), Record(path)
    order = Order("", "t", keys=4, beat_ms=1, readers=2)
    worker = Worker(order, record, store.do)
    running = asyncio.create_task(worker.run())
    while store.made < 60:  # noqa: ASYNC110 - the store is in this process
        await asyncio.sleep(0.001)
    store.fault = fault
    while store.made < 120:  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0.001)
    worker.is_stopping = True
    await running
    record.close()
    return read(path.read_bytes())  # noqa: ASYNC240 - nothing else runs by now


async def test_a_store_that_is_right_is_found_right(tmp_path: Path) -> None:
    history = await recorded(tmp_path / "h.gz")
    assert history.problems() == []
    assert history.recorder.counts.acknowledged > 150
    assert history.keys == {workload.key_of("t", number) for number in range(4)}
    assert set(history.successes) == history.keys


@pytest.mark.parametrize("fault", ["refused", "unknown"])
async def test_what_fails_is_told_and_is_no_violation(tmp_path: Path, fault: str) -> None:
    history = await recorded(tmp_path / "h.gz", fault)
    assert history.problems() == []
    far = 1e12
    failed = history.failed(0, far)
    assert len(failed) <= 1
    assert all(fault in why for why in failed)


async def test_a_write_that_was_lost_is_seen(tmp_path: Path) -> None:
    # One of the readers may have taken the fault, which then changes nothing: ask again.
    for number in range(20):
        history = await recorded(tmp_path / f"{number}.gz", "lost")
        if history.problems():
            assert any("no order" in told or "lost" in told for told in history.problems())
            return
    pytest.fail("twenty lost writes were not seen")


def test_gaps_and_failures_are_told_by_the_wall_clock(tmp_path: Path) -> None:
    lines: list[object] = [{"offset_us": 1_000_000}]
    for number, (sent, ended) in enumerate([(0, 10), (20, 30), (900, 910)], 1):
        lines.append([number, sent * 1000])
        put = {"k": "t/r1", "op": "put", "v": str(number)}
        lines.append([number, ended * 1000, "w1", put, {"version": f"{number:02x}"}])
    refused = {"k": "t/r1", "op": "put", "v": "x"}
    lines += [[4, 950_000], [4, 960_000, "w1", refused, {"refused": "NotAppliedError: no"}]]
    lines += [
        [5, 970_000],
        [5, 980_000, "last", {"k": "t/r1", "op": "get"}, {"found": ["3", "03"]}],
    ]
    path = tmp_path / "h.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    history = read(path.read_bytes())
    assert history.problems() == []
    assert history.gap_ms(1.0, 2.0) == 910 - 30
    assert history.gap_ms(1.0, 1.015) == 20
    assert history.failed(1.0, 2.0) == ["t/r1: put refused: NotAppliedError: no"]
    assert history.failed(1.0, 1.95) == []


def test_a_key_that_nobody_answers_for_at_the_end_is_a_problem(tmp_path: Path) -> None:
    lines: list[object] = [{"offset_us": 0}, [1, 1]]
    lines.append([1, 2, "w1", {"k": "t/r1", "op": "put", "v": "a"}, {"version": "01"}])
    path = tmp_path / "h.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    assert read(path.read_bytes()).problems() == ["nobody answered for t/r1 at the end"]
