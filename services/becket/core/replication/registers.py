"""Executing operations on one key's cell (PROTOCOL R14a, R27, R28, R30, R31, R33).

Owns what a write does to a cell and to its records. Pure: a cell and attempts go in, a cell and
decisions come out. Must not know quorums or messages. Invariants: every executed write has its
own ``seq`` as ``executed_at`` and ``mod``; a record that is dropped raises ``rec_floor``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from becket.core.replication.cells import (
    NOTHING,
    Attempt,
    Cell,
    Head,
    Kind,
    Operation,
    Reason,
    Record,
    Result,
    Verdict,
)
from becket.core.replication.settings import Settings
from becket.core.replication.versions import ZERO, Epoch, Version

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


class Verb(IntEnum):
    """What becomes of one attempt of a fold."""

    REFUSED = 1
    RECORDED = 2
    """A chosen record holds the results: answer at once (R27)."""
    READ = 3
    """Nothing was written: answer like a read (R16)."""
    WRITTEN = 4
    """Answer when the cell of this fold is chosen."""


class Decision:
    """One attempt of a fold, and what becomes of it."""

    __slots__ = ("attempt", "reason", "results", "verb")

    def __init__(
        self, attempt: Attempt, verb: Verb, results: tuple[Result, ...], reason: Reason
    ) -> None:
        self.attempt = attempt
        self.verb = verb
        self.results = results
        self.reason = reason


class Fold:
    """Several attempts executed one after the other; ``cell`` None: nothing is to be written.

    ``deposed``: an attempt knew a newer epoch, so this coordinator must step down (R30).
    """

    __slots__ = ("cell", "decisions", "deposed", "seq")

    def __init__(
        self, cell: Cell | None, seq: int, decisions: list[Decision], *, deposed: bool
    ) -> None:
        self.cell = cell
        self.seq = seq
        self.decisions = decisions
        self.deposed = deposed


class Reign(NamedTuple):
    """What executing needs to know of the coordinator: its epoch, last seq, floor and clock."""

    epoch: Epoch
    seq: int
    known_floor: Version
    wall_ms: int


def is_expired(cell: Cell | Head | None, wall_ms: int) -> bool:
    """Whether the cell holds a value whose time has passed on this clock."""
    return cell is not None and not cell.is_tombstone and 0 < cell.expire_ms <= wall_ms


def expired(cell: Cell, ver: Version) -> Cell:
    """The tombstone that expiry writes; records stay, no session is involved (R33)."""
    return Cell(ver, ver, None, 0, cell.records, cell.rec_floor)


def tombstone_for_absent(ver: Version, known_floor: Version) -> Cell:
    """A tombstone where there was nothing, to have something that can be written."""
    return Cell(ver, ZERO, None, 0, (), known_floor)


def fold(base: Cell | None, attempts: Sequence[Attempt], reign: Reign, settings: Settings) -> Fold:
    """Execute ``attempts`` in order on the fresh cell ``base`` (None = ABSENT)."""
    cell, seq, running = base, reign.seq, reign
    decisions: list[Decision] = []
    for attempt in attempts:
        if attempt.stamp.epoch > reign.epoch:
            return Fold(None, reign.seq, [], deposed=True)
        if seq != running.seq:
            running = Reign(reign.epoch, seq, reign.known_floor, reign.wall_ms)
        decision, changed, seq = _execute(cell, attempt, running, settings)
        written = cell is not base
        if changed is not None:
            cell = changed
        elif written and decision.verb in (Verb.READ, Verb.RECORDED):
            # It rests on a write of this fold that is not chosen yet.
            decision.verb = Verb.WRITTEN
        decisions.append(decision)
    return Fold(None if cell is base else cell, seq, decisions, deposed=False)


def _execute(
    cell: Cell | None, attempt: Attempt, reign: Reign, settings: Settings
) -> tuple[Decision, Cell | None, int]:
    record = _record_of(cell, attempt.session)
    if record is not None and record.number == attempt.number:
        return Decision(attempt, Verb.RECORDED, record.results, Reason.NONE), None, reign.seq
    if record is not None and record.number > attempt.number:
        return Decision(attempt, Verb.REFUSED, (), Reason.OLD_NUMBER), None, reign.seq
    # R30: below this floor the records that this operation might have had may be gone.
    floor = reign.known_floor if cell is None else cell.rec_floor
    if attempt.stamp < floor:
        return Decision(attempt, Verb.REFUSED, (), Reason.STALE_STAMP), None, reign.seq
    return _run(cell, attempt, reign, settings)


def _record_of(cell: Cell | None, session: str) -> Record | None:
    if cell is not None:
        for record in cell.records:
            if record.session == session:
                return record
    return None


def _run(
    cell: Cell | None, attempt: Attempt, reign: Reign, settings: Settings
) -> tuple[Decision, Cell | None, int]:
    """Run one attempt's list; the record is written with the last write of the list."""
    seq, changed = reign.seq, False
    if cell is not None and is_expired(cell, reign.wall_ms):
        seq += 1
        cell = expired(cell, Version(reign.epoch, seq))
        changed = True
    results: list[Result] = []
    for operation in attempt.operations:
        result, after = _apply(cell, operation, Version(reign.epoch, seq + 1), reign)
        results.append(result)
        if after is not None:
            seq += 1
            cell = after
            changed = True
    # R28: a negative answer to a retry is written too, or a late first attempt could undo it.
    if not changed and not attempt.retry:
        return Decision(attempt, Verb.READ, tuple(results), Reason.NONE), None, reign.seq
    if not changed:
        seq += 1
    ver = Version(reign.epoch, seq)
    if cell is None:
        cell = tombstone_for_absent(ver, reign.known_floor)
    record = Record(attempt.session, attempt.number, tuple(results), ver, reign.wall_ms)
    cell = _with_record(cell, record, settings)
    return Decision(attempt, Verb.WRITTEN, tuple(results), Reason.NONE), cell, seq


def _with_record(cell: Cell, record: Record, settings: Settings) -> Cell:
    """The cell at the version of its newest record."""
    records = [kept for kept in cell.records if kept.session != record.session]
    records.append(record)
    rec_floor = cell.rec_floor
    if len(records) > settings.records_kept:
        records.sort(key=lambda kept: kept.executed_at)
        oldest_ms = record.executed_ms - settings.record_age_ms
        while len(records) > settings.records_limit or (
            len(records) > settings.records_kept and records[0].executed_ms < oldest_ms
        ):
            dropped = records.pop(0)
            rec_floor = max(rec_floor, dropped.executed_at)  # R31
    kept = tuple(records)
    return Cell(record.executed_at, cell.mod, cell.value, cell.expire_ms, kept, rec_floor)


def _apply(
    cell: Cell | None, operation: Operation, ver: Version, reign: Reign
) -> tuple[Result, Cell | None]:
    """The result of one operation, and the cell after it where it changed the key."""
    present = cell is not None and cell.value is not None
    if operation.kind is Kind.GET:
        return read(cell), None
    if not _condition_holds(cell, operation):
        found = cell.mod if cell is not None and present else None
        return Result(Verdict.CONDITION_FAILED, found), None
    if operation.kind is Kind.DELETE:
        if not present:
            return Result(Verdict.ABSENT), None
        return Result(Verdict.DONE), _changed(cell, ver, None, 0, reign)
    if operation.kind is Kind.PUT:
        expire_ms = reign.wall_ms + operation.ttl_ms if operation.ttl_ms else 0
        changed = _changed(cell, ver, operation.value, expire_ms, reign)
        return Result(Verdict.DONE, ver), changed
    return _increment(cell, operation, ver, reign)


def _condition_holds(cell: Cell | None, operation: Operation) -> bool:
    present = cell is not None and cell.value is not None
    if operation.if_absent:
        return not present
    if operation.if_version is not None:
        return cell is not None and present and cell.mod == operation.if_version
    return True


def _increment(
    cell: Cell | None, operation: Operation, ver: Version, reign: Reign
) -> tuple[Result, Cell | None]:
    value, expire_ms = b"0", 0
    if cell is not None and cell.value is not None:
        value, expire_ms = cell.value, cell.expire_ms
    digits = value[1:] if value[:1] == b"-" else value
    if not (digits.isdigit() and len(digits) < 20):
        found = cell.mod if cell is not None else None
        return Result(Verdict.NOT_A_NUMBER, found), None
    total = int(value) + operation.delta
    if not INT64_MIN <= total <= INT64_MAX:
        found = cell.mod if cell is not None and cell.value is not None else None
        return Result(Verdict.OUT_OF_RANGE, found), None
    after = str(total).encode()
    changed = _changed(cell, ver, after, expire_ms, reign)
    return Result(Verdict.DONE, ver, after, expire_ms), changed


def _changed(
    cell: Cell | None, ver: Version, value: bytes | None, expire_ms: int, reign: Reign
) -> Cell:
    if cell is None:
        # R31: whatever was recorded for this key before was purged at or below the floor.
        return Cell(ver, ver, value, expire_ms, (), reign.known_floor)
    return Cell(ver, ver, value, expire_ms, cell.records, cell.rec_floor)


def read(cell: Cell | None) -> Result:
    """The answer of a get on this cell, None where the key is ABSENT."""
    return NOTHING if cell is None else cell.shown
