"""Listing a partition's keys from several members, page by page (PROTOCOL R17, R35).

Owns one walk over the keys. A page ends at the lowest last key of the members that have more, so
every page is the union of what each of them holds in one range. Must not decide what to do with
the keys. Invariant: a range is passed only when ``enough`` members have shown theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from becket.core.replication.messages import ListKeys, Reply, Status
from becket.core.replication.versions import Version
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator


class Page(NamedTuple):
    """The keys of one range: for each, the version that each member shows. ``last``: the end."""

    keys: dict[bytes, dict[Disk, Version]]
    asked: frozenset[Disk]
    last: bool


class Walk(NamedTuple):
    """What to list: buckets (empty = all), from whom, and whose answers make a page."""

    buckets: tuple[int, ...]
    disks: tuple[Disk, ...]
    enough: Callable[[AbstractSet[Disk]], bool]
    patient: bool
    """Wait for all for a while, not only for enough."""
    first: frozenset[Disk] = frozenset()
    """Whom to ask at once, the others only where these take long; empty: everybody."""


class Listing:
    """A walk over keys; ``on_page`` is called for one range after the other, on ``resume``."""

    def __init__(
        self, coordinator: Coordinator, walk: Walk, on_page: Callable[[Page], None]
    ) -> None:
        self._c = coordinator
        self._walk = walk
        self._on_page = on_page
        self._after: bytes | None = None
        self._id = 0
        self._replies: dict[Disk, Reply] = {}
        self._sent_us = self._started_us = coordinator.ctx.now_us

    def resume(self) -> None:
        """Ask for the next range."""
        self._id = self._c.ctx.next_id()
        self._replies = {}
        self._started_us = self._c.ctx.now_us
        self._send(self._walk.first or self._walk.disks)

    def tick(self) -> None:
        """Ask again those that have not answered; settle for enough when it takes long."""
        if self._id and self._c.ctx.now_us - self._sent_us >= self._c.ctx.settings.resend_us:
            self._consider()
            if self._id:
                self._send(self._walk.disks)

    def stop(self) -> None:
        """End the walk."""
        self._c.forget(self._id)
        self._id = 0

    def _send(self, disks: Collection[Disk]) -> None:
        c = self._c
        self._sent_us = c.ctx.now_us
        message = ListKeys(
            c.part.number, c.gen, c.epoch, self._id, None, self._walk.buckets, self._after
        )
        for disk in self._walk.disks:
            if disk in disks and disk not in self._replies:
                c.ask(disk, message, self._on_reply)

    def _on_reply(self, disk: Disk, reply: Reply) -> None:
        if reply.id == self._id and reply.status is Status.OK:
            self._replies[disk] = reply
            self._consider()

    def _consider(self) -> None:
        waited = self._c.ctx.now_us - self._started_us
        overdue = not self._walk.patient or waited >= 2 * self._c.ctx.settings.resend_us
        everyone = len(self._replies) == len(self._walk.disks)
        if self._walk.enough(self._replies.keys()) and (everyone or overdue):
            page = self._merge()
            self.stop()
            self._on_page(page)

    def _merge(self) -> Page:
        ends = [reply.keys[-1][0] for reply in self._replies.values() if reply.more]
        horizon = min(ends, default=None)
        keys: dict[bytes, dict[Disk, Version]] = {}
        for disk, reply in self._replies.items():
            for key, ver in reply.keys:
                if horizon is None or key <= horizon:
                    keys.setdefault(key, {})[disk] = ver
        self._after = horizon
        return Page(keys, frozenset(self._replies), horizon is None)
