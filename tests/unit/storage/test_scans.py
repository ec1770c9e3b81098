"""A page shows only partitions that stayed here from their confirmation to the reading."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import NotAppliedError
from becket.core.limits import Limits
from becket.core.replication.store import UnreadableError
from becket.core.replication.versions import ZERO, Version
from becket.storage.calls import Outcomes
from becket.storage.scans import Scans


class Here:
    """A member that coordinates partitions 0 and 1; ``leased`` are confirmed at once."""

    def __init__(self, leased: Sequence[int]) -> None:
        self.leased = leased
        self.table = {number: self.reign() for number in (0, 1)}
        self.asked: list[int] = []
        self.ends: int | None = None
        """The partition that is taken over while the others are confirmed."""
        self.unreadable: int | None = None
        self.member = SimpleNamespace(reigns=lambda: dict(self.table))
        self.commits = SimpleNamespace(when_synced=lambda then: then())

    def reign(self) -> SimpleNamespace:
        """A new one."""
        return SimpleNamespace(levelling=SimpleNamespace(is_whole=True))

    def confirm(self, partitions: Sequence[int]) -> dict[int, Version]:
        """As the shell's."""
        return {number: ZERO for number in partitions if number in self.leased}

    async def confirm_by_reads(self, partitions: Sequence[int], timeout_s: float) -> Outcomes:
        """As the calls'."""
        assert timeout_s == 1.0
        self.asked += partitions
        if self.ends is not None:
            self.table[self.ends] = self.reign()
        return Outcomes([b""] * len(partitions), [], [])

    def page_from(self, partition: int, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Nothing is stored."""
        assert (partition in self.table, start, limit > 0) == (True, b"", True)
        if partition == self.unreadable:
            raise UnreadableError(f"partition {partition}")
        return []


def scans_of(here: Here) -> Scans:
    shell: Any = here
    cells: Any = here
    view: Any = SimpleNamespace(ring=SimpleNamespace(partitions=2))
    calls: Any = SimpleNamespace(confirm=here.confirm_by_reads)
    return Scans(shell, view, cells, calls, Limits())


@pytest.mark.parametrize(("leased", "asked"), [([0, 1], []), ([1], [0]), ([], [0, 1])])
async def test_only_what_no_lease_confirms_is_asked_for(
    leased: list[int], asked: list[int]
) -> None:
    here = Here(leased)
    page = await scans_of(here).page(kv.ScanRequest(), 1.0)
    assert here.asked == asked
    assert [stamp.partition for stamp in page.stamps] == leased


@pytest.mark.parametrize("ends", [0, 1])
async def test_a_partition_that_changes_hands_meanwhile_is_not_listed(ends: int) -> None:
    here = Here([1])
    here.ends = ends
    with pytest.raises(NotAppliedError, match=f"partition {ends} has changed hands"):
        await scans_of(here).page(kv.ScanRequest(), 1.0)


async def test_a_partition_that_does_not_read_is_not_listed_in_part() -> None:
    here = Here((0, 1))
    here.unreadable = 1
    with pytest.raises(NotAppliedError, match="partition 1 does not read here") as raised:
        await scans_of(here).page(kv.ScanRequest(), 1.0)
    assert raised.value.after_ms > 0
