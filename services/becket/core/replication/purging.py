"""Tombstones and expired values: finding them and getting rid of them (PROTOCOL R21, R33).

Owns the sweep over the coordinator's own engine, the age of each tombstone on this coordinator's
monotonic clock, and the Drops under way. Whether a tombstone may be dropped is decided in the
key's own queue, where every member has just shown it. Works only in a FINAL config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from becket.core.replication import registers
from becket.core.replication.messages import Drop, Reply, Status
from becket.core.replication.rounds import Chore, Task
from becket.core.replication.store import UnreadableError
from becket.core.replication.versions import ZERO, Version
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator


class Dropping:
    """One Drop, until every member has acked it."""

    __slots__ = ("id", "key", "missing", "sent_us", "ver")

    def __init__(self, drop_id: int, key: bytes, ver: Version, missing: set[Disk]) -> None:
        self.id = drop_id
        self.key = key
        self.ver = ver
        self.missing = missing
        self.sent_us = 0


class Purging:
    """The sweep for tombstones and expired values, and the Drops under way."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._c = coordinator
        self._ctx = coordinator.ctx
        self._sweep_us = coordinator.ctx.now_us + coordinator.ctx.settings.sweep_us
        self._after: bytes | None = None
        self._seen: dict[bytes, tuple[Version, int]] = {}
        self._seen_now: dict[bytes, tuple[Version, int]] = {}
        """Tombstones met in this round; it replaces ``_seen`` at the end, so both stay bounded."""
        self._active: set[bytes] = set()
        self._drops: dict[int, Dropping] = {}

    @property
    def is_resting(self) -> bool:
        """Whether a tick would find nothing to do."""
        return not self._drops

    def tick(self) -> None:
        """Send Drops again."""
        now, settings = self._ctx.now_us, self._ctx.settings
        for dropping in list(self._drops.values()):
            if now - dropping.sent_us >= settings.resend_us:
                self._send(dropping)

    def sweep(self) -> bool:
        """Look at one page of the own engine when it is time; whether it was.

        A whole round is a sweep interval apart from the next; within one, pages follow as fast as
        whoever shares the reading out among partitions allows.
        """
        now = self._ctx.now_us
        if now < self._sweep_us:
            return False
        self._sweep(now)
        return True

    def _sweep(self, now: int) -> None:
        settings = self._ctx.settings
        try:
            page = self._ctx.store.page(self._c.part.number, self._after, settings.page_keys)
        except UnreadableError:
            self._after, self._sweep_us = None, now + settings.sweep_us
            return
        for key, head in page:
            if head is None:
                continue
            if head.is_tombstone:
                self._consider(key, head.ver, now)
            elif registers.is_expired(head, self._ctx.wall_ms):
                self._c.keys.add_task(key, Task(Chore.EXPIRE, ZERO))
        self._after = page[-1][0] if len(page) == settings.page_keys else None
        if self._after is None:
            self._seen, self._seen_now = self._seen_now, {}
        self._sweep_us = now + (settings.sweep_us if self._after is None else 0)

    def _consider(self, key: bytes, ver: Version, now: int) -> None:
        settings = self._ctx.settings
        seen = self._seen.get(key)
        if seen is None or seen[0] != ver:
            seen = (ver, now)
        if len(self._seen_now) < settings.fresh_limit:
            self._seen_now[key] = seen
        if now - seen[1] < settings.purge_age_us or key in self._active:
            return
        if len(self._active) < settings.copy_window:
            self._active.add(key)
            self._c.keys.add_task(key, Task(Chore.PURGE, ver))

    def on_key(self, key: bytes) -> None:
        """A purge was decided, one way or the other."""
        self._active.discard(key)

    def drop(self, key: bytes, ver: Version) -> None:
        """Every member has shown this tombstone: tell each to drop it, until it has."""
        dropping = Dropping(self._ctx.next_id(), key, ver, set(self._c.config.members))
        self._drops[dropping.id] = dropping
        self._send(dropping)

    def _send(self, dropping: Dropping) -> None:
        c = self._c
        dropping.sent_us = self._ctx.now_us
        message = Drop(c.part.number, c.gen, c.epoch, dropping.id, None, dropping.key, dropping.ver)
        for disk in sorted(dropping.missing):
            c.ask(disk, message, self._on_ack)

    def _on_ack(self, disk: Disk, reply: Reply) -> None:
        dropping = self._drops.get(reply.id)
        if dropping is None or reply.status is not Status.OK:
            return
        dropping.missing.discard(disk)
        if not dropping.missing:
            del self._drops[dropping.id]
            self._c.forget(dropping.id)
            self._c.keys.forget_purged(dropping.key, dropping.ver)
