"""Invariants asserted at run time (PROTOCOL section 4); each costs a comparison or two.

A failed one is a bug: the error carries the rule and what was seen, and the process must not go
on acknowledging. They are on in simulation, in tests and in production.
"""

from __future__ import annotations

from collections.abc import Mapping

from becket.core.errors import BugError
from becket.core.replication.cells import AnyCell, Cell
from becket.core.replication.store import PartitionRecord
from becket.core.replication.versions import Epoch, Version
from becket.core.ring.config import Config


class InvariantError(BugError):
    """An invariant of PROTOCOL section 4 does not hold; ``rule`` is its number there."""

    def __init__(self, rule: int, story: str) -> None:
        super().__init__(f"invariant {rule}: {story}")
        self.rule = rule


def record_never_falls(before: PartitionRecord, after: PartitionRecord) -> None:
    """Invariant 1: generation and promise never fall, nor the floor while ``since`` stays."""
    if before.config is not None and (after.config is None or after.config.gen < before.config.gen):
        raise InvariantError(1, f"generation fell from {before.config.gen}: {after}")
    if after.promised < before.promised:
        raise InvariantError(1, f"promise fell: {before.promised} to {after.promised}")
    if after.since == before.since and after.floor < before.floor:
        raise InvariantError(1, f"floor fell: {before.floor} to {after.floor}")


def reply_stands(promised: Epoch, epoch: Epoch) -> None:
    """Invariant 2: no consent leaves under an epoch below the promise."""
    if epoch < promised:
        raise InvariantError(2, f"consents under {epoch} with a promise of {promised}")


def seq_rises(last: Version, ver: Version) -> None:
    """Invariant 4: a coordinator's versions rise strictly."""
    if ver <= last:
        raise InvariantError(4, f"writes {ver} after {last}")


def deletion_is_due(disk: str, config: Config, since: int | None) -> None:
    """Invariant 7: cells go only when the config excludes this disk or it joins anew."""
    if disk in config.member_set and config.joined[disk] == since:
        raise InvariantError(7, f"{disk} deletes its cells as a member of {config}")


def drop_is_due(shown: Mapping[str, Cell | None], config: Config, ver: Version) -> None:
    """Invariant 8: every member has shown exactly the version that is dropped."""
    if config.is_joint or any(
        disk not in shown or (cell := shown[disk]) is None or cell.ver != ver
        for disk in config.members
    ):
        raise InvariantError(8, f"drops {ver} in {config}, shown {dict(shown)}")


def clock_runs_forward(before_us: int, now_us: int) -> None:
    """Invariant 9: a monotonic clock never goes back."""
    if now_us < before_us:
        raise InvariantError(9, f"the clock went from {before_us} back to {now_us}")


def one_content(key: bytes, stored: Cell | None, arrived: Cell) -> None:
    """Invariant 4: one (key, version) never has two contents."""
    if stored != arrived:
        raise InvariantError(4, f"{key!r} at {arrived.ver} is both {stored} and {arrived}")


def accept_is_of_epoch(key: bytes, cell: AnyCell, epoch: Epoch) -> None:
    """Invariant 4: an Accept's version is of the epoch it is sent under."""
    if cell.ver.epoch != epoch:
        raise InvariantError(4, f"Accept of {key!r} at {cell.ver} under {epoch}")


def cell_is_whole(key: bytes, cell: Cell, known_floor: Version) -> None:
    """Invariant 10: ``mod``, records and ``rec_floor`` lie at or below what bounds them."""
    if cell.mod > cell.ver:
        raise InvariantError(10, f"{key!r}: mod {cell.mod} over ver {cell.ver}")
    if any(record.executed_at > cell.ver for record in cell.records):
        raise InvariantError(10, f"{key!r}: a record was executed after {cell.ver}")
    if cell.rec_floor > max(cell.ver, known_floor):
        raise InvariantError(10, f"{key!r}: rec_floor {cell.rec_floor} over {cell.ver}")


def coordinator_stands(own: tuple[int, Epoch], reign: tuple[int, Epoch]) -> None:
    """Invariant 3: who acknowledges or answers still has its own promise and generation."""
    if own != reign:
        raise InvariantError(3, f"answers under {reign} with an own promise of {own}")


def config_follows(known: Config, adopted: Config) -> None:
    """Invariants 1 and 6: one content a generation, and R2 between two that follow each other."""
    if adopted.gen == known.gen and adopted != known:
        raise InvariantError(1, f"generation {known.gen} is both {known} and {adopted}")
    if adopted.gen == known.gen + 1 and not adopted.follows(known):
        raise InvariantError(6, f"{adopted} does not follow {known}")


def lease_is_short(lease_until_us: int, sent_us: int, lease_us: int) -> None:
    """Invariant 9: a lease ends for its owner before it does for any grantor."""
    if lease_until_us - sent_us >= lease_us:
        raise InvariantError(9, f"lease of {lease_until_us - sent_us} us out of {lease_us}")


def copy_is_complete(listed: frozenset[bytes], certified: frozenset[bytes]) -> None:
    """Invariant 5: every listed key has been certified before the copy is."""
    if not listed <= certified:
        raise InvariantError(5, f"{len(listed - certified)} listed keys are not certified")
