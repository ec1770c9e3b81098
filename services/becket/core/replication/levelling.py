"""Which buckets are settled, which members are level, and the work to make them so.

Owns PROTOCOL R35, the digests of section 5, and what R34 asks of a coordinator. Works only in a
FINAL config; replicas never copy among themselves. Invariants: a bucket is settled only by equal
digests of a quorum with the coordinator's own among them; a member is level only when no write
that is chosen lacks its ack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from becket.core.replication.digests import bucket_of
from becket.core.replication.listing import Listing, Page, Walk
from becket.core.replication.messages import Compare, Reply, Status
from becket.core.replication.rounds import Chore, Task
from becket.core.replication.settings import spread_us
from becket.core.replication.versions import ZERO
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator

Digests = tuple[int | None, ...]

MOST_DEFERRALS = 5
"""A bucket that differs while it is written is looked at so often before it is listed."""


class Trailing(NamedTuple):
    """A chosen write that some members have not acked yet."""

    key: bytes
    missing: set[Disk]
    since_us: int


class Levelling:
    """The comparison of replicas by digests, and what follows from it."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._c = coordinator
        self._ctx = coordinator.ctx
        self._buckets = coordinator.ctx.settings.buckets
        everything = range(self._buckets)
        self._settled: set[int] = set()
        self._is_whole = False
        self._serial = 0
        others = [d for d in coordinator.config.members if d != coordinator.ctx.disk]
        self._lacking: dict[Disk, dict[int, int]] = {
            d: dict.fromkeys(everything, 0) for d in others
        }
        self._trailing: dict[int, Trailing] = {}
        self._compare_id = 0
        self._compare_serial = 0
        self._compared: dict[Disk, Digests] = {}
        self._compare_us = 0
        self._moving: set[int] = set()
        """Buckets that were written since the digests were asked for: theirs prove nothing."""
        self._defer: set[int] = set()
        self._deferred: dict[int, int] = {}
        """How often in a row a bucket that differed was moving."""
        self._next_us = coordinator.ctx.now_us
        self._listing: Listing | None = None
        self._to_list: set[int] = set()
        self._waiting: deque[bytes] = deque()
        self._active: set[bytes] = set()
        self._page_open = False
        self._page_last = False

    # What others ask

    def is_settled(self, key: bytes) -> bool:
        """Whether an untouched key of this bucket is fresh by default."""
        if not self._settled:
            return False
        return bucket_of(key, self._buckets) in self._settled

    @property
    def is_whole(self) -> bool:
        """Whether the coordinator's own engine holds every chosen cell: it may be listed."""
        return self._is_whole or len(self._settled) == self._buckets

    def is_level(self, disk: Disk) -> bool:
        """R34, R35: was level in this epoch, and lacks no write that is or may be chosen."""
        if self.is_behind(disk):
            return False
        if self._trailing and any(disk in each.missing for each in self._trailing.values()):
            return False
        return not (self._c.keys.has_rounds and self._c.keys.open_without(disk))

    def is_behind(self, disk: Disk) -> bool:
        """Whether it may lack more than the writes whose acks are awaited at this moment.

        For whoever looks now and then: under load some ack is always on its way.
        """
        return bool(self._lacking.get(disk, {0: 0})) or len(self._settled) < self._buckets

    def note_write(self, key: bytes) -> None:
        """A write of this key goes out now."""
        if self._compare_id:
            self._moving.add(bucket_of(key, self._buckets))

    # Acks

    def await_acks(self, round_id: int, key: bytes, missing: set[Disk]) -> None:
        """A chosen write still lacks these acks; they may come, or it must be levelled."""
        self._trailing[round_id] = Trailing(key, missing, self._ctx.now_us)
        self._c.expect(round_id, self._on_late_ack)

    def _on_late_ack(self, disk: Disk, reply: Reply) -> None:
        trailing = self._trailing.get(reply.id)
        if trailing is not None and reply.status is Status.OK:
            trailing.missing.discard(disk)
            if not trailing.missing:
                self._forget_trailing(reply.id)

    def _forget_trailing(self, round_id: int) -> None:
        del self._trailing[round_id]
        self._c.forget(round_id)

    def note_unacked(self, key: bytes, disks: AbstractSet[Disk]) -> None:
        """These members did not ack a write that was given up: they may lack what was chosen."""
        for disk in sorted(disks - {self._ctx.disk}):
            self._note_lacking(disk, key)
        self._next_us = min(self._next_us, self._ctx.now_us + self._ctx.settings.resend_us)

    def _note_lacking(self, disk: Disk, key: bytes) -> None:
        self._serial += 1
        self._lacking[disk][bucket_of(key, self._buckets)] = self._serial

    # Digests

    def start(self, roots: dict[Disk, int | None]) -> None:
        """Take the roots that came with the promises (section 5)."""
        own = roots.get(self._ctx.disk)
        equal = {d for d, root in roots.items() if root is not None and root == own}
        # Whatever was chosen is on a majority of old, one of which has what this member has.
        self._is_whole = own is not None and self._c.config.old_majority(equal)
        if own is not None and self._c.config.quorum(equal):
            self._settled = set(range(self._buckets))
            for disk in equal - {self._ctx.disk}:
                self._lacking[disk].clear()
            # No client waits for what the others hold; many partitions taken over together do.
            self._next_us += spread_us(self._ctx.settings.calm_us, self._c.part.number)

    def _compare(self) -> None:
        c = self._c
        self._compare_id = self._ctx.next_id()
        self._compare_serial = self._serial
        self._compared = {}
        self._compare_us = self._ctx.now_us
        open_keys = {trailing.key for trailing in self._trailing.values()} | c.keys.open_keys()
        self._moving = {bucket_of(key, self._buckets) for key in open_keys}
        c.ask_all(Compare(c.part.number, c.gen, c.epoch, self._compare_id, None), self._on_digests)

    def _on_digests(self, disk: Disk, reply: Reply) -> None:
        if reply.id != self._compare_id or reply.status is not Status.OK:
            return
        self._compared[disk] = reply.digests
        if len(self._compared) == len(self._c.config.members):
            self._judge()

    def _judge(self) -> None:
        """Settle, clear and list by the digests that have come."""
        self._c.forget(self._compare_id)
        self._compare_id = 0
        compared, own_disk = self._compared, self._ctx.disk
        own = compared.get(own_disk)
        self._next_us = self._ctx.now_us + self._ctx.settings.compare_us
        if own is None:
            self._next_us = self._ctx.now_us + self._ctx.settings.resend_us
            return
        settled = set()
        for bucket in range(self._buckets):
            equal = {d for d, digests in compared.items() if digests[bucket] == own[bucket]}
            if own[bucket] is not None and own_disk in equal and self._c.config.quorum(equal):
                settled.add(bucket)
            elif bucket not in self._settled and not self._defers(bucket):
                self._to_list.add(bucket)
        self._settled |= settled
        self._c.keys.settle(settled)
        for disk, lacking in self._lacking.items():
            self._judge_member(compared.get(disk), own, lacking)
        self._deferred = {bucket: self._deferred.get(bucket, 0) + 1 for bucket in self._defer}
        if self._defer or any(self._lacking.values()):
            # What moved, and an ack missed since the digests were asked for: they could not tell.
            self._defer.clear()
            self._next_us = min(self._next_us, self._ctx.now_us + self._ctx.settings.sweep_us)
        if self._to_list:
            self._next_us = self._ctx.now_us

    def _defers(self, bucket: int) -> bool:
        """Whether a difference may come of writes that were under way: then look again later.

        Not for ever: a bucket that never rests is listed all the same.
        """
        if bucket not in self._moving or self._deferred.get(bucket, 0) >= MOST_DEFERRALS:
            return False
        self._defer.add(bucket)
        return True

    def _judge_member(self, theirs: Digests | None, own: Digests, lacking: dict[int, int]) -> None:
        if theirs is None:
            if lacking:
                self._next_us = self._ctx.now_us + self._ctx.settings.sweep_us
            return
        for bucket in range(self._buckets):
            if theirs[bucket] == own[bucket] and own[bucket] is not None:
                # An ack missed since the digests were asked for is not in them.
                if lacking.get(bucket, self._serial + 1) <= self._compare_serial:
                    del lacking[bucket]
            elif theirs[bucket] is None or own[bucket] is None or not self._defers(bucket):
                lacking.setdefault(bucket, 0)
                self._to_list.add(bucket)

    # Levelling

    def on_key(self, key: bytes) -> None:
        """A key's levelling has ended, well or not: the next comparison tells."""
        self._active.discard(key)

    def tick(self) -> None:
        """Note missing acks, compare when it is time, list what differs."""
        now, settings = self._ctx.now_us, self._ctx.settings
        for round_id, trailing in list(self._trailing.items()):
            if now - trailing.since_us >= settings.laggard_us:
                for disk in sorted(trailing.missing):
                    self._note_lacking(disk, trailing.key)
                self._forget_trailing(round_id)
                self._next_us = min(self._next_us, now + settings.resend_us)
        if self._compare_id:
            if now - self._compare_us >= 2 * settings.resend_us:
                self._judge()
            return
        if self._listing is not None:
            self._listing.tick()
        self._go_on()
        if self._listing is None and not self._to_list and now >= self._next_us:
            self._compare()

    @property
    def is_resting(self) -> bool:
        """Whether a tick would find nothing to do."""
        return not (
            self._trailing
            or self._compare_id
            or self._listing is not None
            or self._to_list
            or self.has_keys
            or self._ctx.now_us >= self._next_us
        )

    @property
    def next_us(self) -> int:
        """When the replicas are compared next, if nothing calls for it before."""
        return self._next_us

    @property
    def has_keys(self) -> bool:
        """Whether keys wait to be levelled, or are levelled now."""
        return bool(self._waiting or self._active)

    @property
    def under_way(self) -> int:
        """How many keys are levelled now."""
        return len(self._active)

    def feed(self, room: int) -> int:
        """Begin with up to ``room`` keys of those that were listed; returns with how many."""
        begun = 0
        while self._waiting and begun < room:
            begun += 1
            key = self._waiting.popleft()
            self._active.add(key)
            self._c.keys.add_task(key, Task(Chore.LEVEL, ZERO))
        return begun

    def _go_on(self) -> None:
        """The next page, or the next walk, once all keys of the one before are levelled."""
        if self._waiting or self._active:
            return
        if self._listing is not None and self._page_last:
            self._listing = None
            self._page_open = self._page_last = False
            if not self._to_list:
                self._next_us = self._ctx.now_us + self._ctx.settings.resend_us
        elif self._listing is not None and self._page_open:
            self._page_open = False
            self._listing.resume()
        if self._listing is None and self._to_list:
            # One walk for all: each reads the whole partition, whichever buckets it is for.
            buckets = tuple(sorted(self._to_list))
            self._to_list.clear()
            walk = Walk(buckets, self._c.config.members, self._enough, patient=True)
            self._listing = Listing(self._c, walk, self._on_page)
            self._listing.resume()

    def _enough(self, disks: AbstractSet[Disk]) -> bool:
        return self._ctx.disk in disks and self._c.config.quorum(disks)

    def _on_page(self, page: Page) -> None:
        self._page_open, self._page_last = True, page.last
        for key, versions in page.keys.items():
            if len(versions) < len(page.asked) or len(set(versions.values())) > 1:
                self._waiting.append(key)
