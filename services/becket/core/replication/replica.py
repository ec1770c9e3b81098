"""What a member does with the messages of coordinators: the durable half of the rules.

Owns promise, floor, config and cells of every partition on one disk, by PROTOCOL R3-R8, R21 and
R22. Must not know who coordinates here or why; it tells its ``Watcher`` when a config was adopted
or a promise raised. Invariants: config, promise and floor are stored before the reply that shows
them (the shell syncs between the two); no cell is deleted but by R4, R5 and Drop.
"""

from __future__ import annotations

from typing import Protocol

from becket.core.replication import invariants
from becket.core.replication.cells import AnyCell, SealedCell
from becket.core.replication.digests import bucket_of
from becket.core.replication.leases import Pair
from becket.core.replication.messages import (
    Accept,
    Check,
    Compare,
    CopyIn,
    CopyKeys,
    Drop,
    ListKeys,
    Prepare,
    ReadKey,
    Reply,
    Request,
    SetFloor,
    Status,
    WouldPromise,
    WouldReply,
)
from becket.core.replication.settings import Settings
from becket.core.replication.store import (
    EMPTY,
    CorruptCellError,
    PartitionRecord,
    Store,
    UnreadableError,
)
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Identity, Version
from becket.core.ring.config import Config, Disk


class Part:
    """One partition at this member: its durable record, and what is known of its coordinator."""

    __slots__ = (
        "cleared_us",
        "corrupt",
        "max_counter",
        "number",
        "record",
        "released",
        "touched_us",
    )

    def __init__(self, number: int, record: PartitionRecord, now_us: int) -> None:
        self.number = number
        self.record = record
        self.corrupt: dict[bytes, int] = {}
        self.released: Epoch = NO_EPOCH
        self.touched_us = now_us
        self.cleared_us = -(10**15)
        """When the cells were last deleted: what was said of them before is void (R34)."""
        self.max_counter = record.promised.counter

    @property
    def gen(self) -> int:
        """The highest generation seen; 0 where no config is known."""
        return self.record.config.gen if self.record.config is not None else 0


class Watcher(Protocol):
    """Who must know of a change before anything else happens."""

    def on_adopted(self, part: Part) -> None:
        """A higher generation is in force: coordinating and standing end (R6)."""

    def on_promised(self, part: Part) -> None:
        """The promise was raised, perhaps over an epoch that this member coordinates under."""


class Replica:
    """Every partition of one disk, as coordinators see it."""

    def __init__(
        self, identity: Identity, settings: Settings, store: Store, watcher: Watcher
    ) -> None:
        self.identity = identity
        self.disk: Disk = identity.disk
        self.parts: dict[int, Part] = {}
        self.pairs: dict[Disk, Pair] = {}
        self.serial = 0
        """Goes up whenever a config, a promise or a release changes: caches are keyed by it."""
        self.configs = 0
        """Goes up whenever a config changes, which is seldom."""
        self.grants = 0
        """Goes up whenever a peer says what it grants: what was worked out from it is void."""
        self.now_us = 0
        self.quarantine_until_us = 0
        self._settings = settings
        self._store = store
        self._watcher = watcher
        self._corruptions = 0
        self._scrubbed: tuple[int, bytes | None] = (-1, None)

    def part(self, number: int) -> Part:
        """The partition, known or not."""
        part = self.parts.get(number)
        if part is None:
            part = self.parts[number] = Part(number, EMPTY, self.now_us)
        return part

    def pair(self, peer: Disk) -> Pair:
        """The dealings with one peer."""
        pair = self.pairs.get(peer)
        if pair is None:
            pair = self.pairs[peer] = Pair(peer, self._settings.suspicion_time())
        return pair

    def scrub(self) -> None:
        """Read one more page of what is stored, to find damage before the key is needed."""
        numbers = sorted(self.parts)
        if not numbers:
            return
        number, after = self._scrubbed
        if number not in self.parts:
            number, after = numbers[0], None
        after = self._store.scrub(number, after, self._settings.page_keys)
        if after is None:
            number = numbers[(numbers.index(number) + 1) % len(numbers)]
        self._scrubbed = (number, after)

    # Config and promise

    def adopt(self, part: Part, config: Config) -> None:
        """R3-R6: take a higher generation durably; lower or equal ones are ignored."""
        known = part.record.config
        if known is not None:
            invariants.config_follows(known, config)
        if config.gen <= part.gen:
            return
        record = part.record._replace(config=config)
        if self.disk in config.member_set:
            since = config.joined[self.disk]
            if since != part.record.since:
                record = self._cleared(part, record, since)  # R4
        elif part.record.since is not None:
            record = self._cleared(part, record, None)  # R5
        self._save(part, record)
        self.configs += 1
        self._watcher.on_adopted(part)

    def _cleared(self, part: Part, record: PartitionRecord, since: int | None) -> PartitionRecord:
        assert record.config is not None
        invariants.deletion_is_due(self.disk, record.config, part.record.since)
        self._store.clear(part.number)
        part.corrupt.clear()
        part.cleared_us = self.now_us
        return record._replace(floor=ZERO, since=since)

    def _promise(self, part: Part, epoch: Epoch) -> None:
        self._save(part, part.record._replace(promised=epoch))
        part.max_counter = max(part.max_counter, epoch.counter)
        part.touched_us = self.now_us
        self._watcher.on_promised(part)

    def _save(self, part: Part, record: PartitionRecord) -> None:
        invariants.record_never_falls(part.record, record)
        part.record = record
        self.serial += 1
        self._store.put_record(part.number, record)

    def release(self, part: Part, epoch: Epoch) -> None:
        """R24: no lease is granted for ``epoch`` again, and none refuses a Prepare for it."""
        part.released = max(part.released, epoch)
        self.serial += 1

    def lease_blocks_us(self, part: Part, candidate: Disk) -> int:
        """R22: how long a Prepare of ``candidate`` must wait for leases granted or forgotten."""
        promised = part.record.promised
        if candidate == promised.disk or promised == NO_EPOCH:
            # Only the owner of the promise can hold a lease from here, also one from before a
            # restart; whoever never promised has granted none.
            return 0
        if promised <= part.released:
            return 0  # Its owner has given up every lease under it, from before a restart too.
        quarantine = self.quarantine_until_us - self.now_us
        if quarantine > 0:
            return quarantine
        if promised.disk not in self.pairs:
            return 0
        return self.pairs[promised.disk].blocks_us(promised, self.now_us)

    # Requests

    def would_promise(self, message: WouldPromise, silent_wait_us: int) -> WouldReply:
        """R11a: what a Prepare would find; ``silent_wait_us`` until this member too suspects."""
        part = self.part(message.partition)
        known = part.record.promised
        wait = max(silent_wait_us, self.lease_blocks_us(part, message.epoch.disk))
        yes = message.gen >= part.gen and message.epoch > known and wait <= 0
        return WouldReply(
            message.partition,
            message.gen,
            message.epoch,
            message.id,
            yes,
            max(0, wait),
            part.record.config if message.gen < part.gen else None,
            known,
        )

    def handle(self, message: Request) -> Reply:
        """Answer a coordinator's or a candidate's request; the reply leaves after the sync."""
        part = self.part(message.partition)
        refusal = self._admit_gen(part, message)
        if refusal is None:
            if isinstance(message, Prepare):
                return self._prepare(part, message)
            refusal = self._admit_epoch(part, message)
        return refusal if refusal is not None else self._serve(part, message)

    def _serve(self, part: Part, message: Request) -> Reply:
        if isinstance(message, Accept):
            return self._accept(part, message)
        if isinstance(message, ReadKey):
            return self._read_key(part, message)
        if isinstance(message, CopyIn | CopyKeys):
            return self._copy(part, message)
        if isinstance(message, Check):
            return self._reply(part, message)
        if isinstance(message, ListKeys):
            return self._list_keys(part, message)
        if isinstance(message, Compare):
            digests = self._store.digests(part.number)
            return self._reply(part, message)._replace(digests=digests)
        if isinstance(message, SetFloor):
            self._raise_floor(part, message.floor)
            return self._reply(part, message)
        assert isinstance(message, Drop)
        return self._drop(part, message)

    def _reply(self, part: Part, message: Request, status: Status = Status.OK) -> Reply:
        if status is Status.OK:
            invariants.reply_stands(part.record.promised, message.epoch)
        floor = part.record.floor
        return Reply(message.partition, message.gen, message.epoch, message.id, status, floor)

    def _admit_gen(self, part: Part, message: Request) -> Reply | None:
        """R8, first half: no generation but the highest is served."""
        if message.gen > part.gen:
            if message.config is None:
                return self._reply(part, message, Status.BEHIND)
            self.adopt(part, message.config)
        config = part.record.config
        if message.gen < part.gen or config is None or self.disk not in config.member_set:
            return self._reply(part, message, Status.GEN)._replace(config=config)
        return None

    def _admit_epoch(self, part: Part, message: Request) -> Reply | None:
        """R8, second half: every kind of message raises the promise."""
        if message.epoch < part.record.promised:
            return self._refuse_epoch(part, message)
        if message.epoch > part.record.promised:
            self._promise(part, message.epoch)
        part.touched_us = self.now_us
        return None

    def _refuse_epoch(self, part: Part, message: Request) -> Reply:
        refusal = self._reply(part, message, Status.EPOCH)
        return refusal._replace(promised=part.record.promised)

    def _prepare(self, part: Part, message: Prepare) -> Reply:
        if message.released is not None:
            self.release(part, message.released)
        if message.epoch < part.record.promised:
            return self._refuse_epoch(part, message)
        if message.epoch > part.record.promised:
            wait = self.lease_blocks_us(part, message.epoch.disk)
            if wait > 0:
                return self._reply(part, message, Status.LEASE)._replace(number=wait)
            self._promise(part, message.epoch)
        return self._reply(part, message)._replace(digests=(self._store.root(part.number),))

    def _accept(self, part: Part, message: Accept) -> Reply:
        cell = message.cell
        invariants.accept_is_of_epoch(message.key, cell, message.epoch)
        return self._store_cell(part, message, cell)

    def _store_cell(self, part: Part, message: Accept | CopyIn, cell: AnyCell) -> Reply:
        repair = message.repair if isinstance(message, Accept) else 0
        status = self._keep(part, message.key, cell, repair)
        if status is Status.CORRUPT:
            return self._refuse_corrupt(part, message)
        return self._reply(part, message, status)

    def _copy(self, part: Part, message: CopyIn | CopyKeys) -> Reply:
        if isinstance(message, CopyIn):
            return self._store_cell(part, message, message.cell)
        left = tuple(
            (key, cell.ver)
            for key, cell in message.cells
            if self._keep(part, key, cell, 0) is not Status.OK
        )
        return self._reply(part, message)._replace(keys=left)

    def _keep(self, part: Part, key: bytes, cell: AnyCell, repair: int) -> Status:
        """Store a cell over an older one; OK where this version or a newer one is there."""
        if cell.ver <= part.record.floor:
            return Status.FLOOR
        try:
            stored = self._store.head(part.number, key)
        except CorruptCellError:
            if repair != self._corruption(part, key):
                return Status.CORRUPT
            stored = None
        if stored is None or cell.ver > stored.ver:
            self._store.put(part.number, key, cell, stored)
            if key in part.corrupt:
                del part.corrupt[key]
                self._store.reweigh(part.number, bucket_of(key, self._settings.buckets))
        elif cell.ver == stored.ver:
            arrived = cell.opened() if isinstance(cell, SealedCell) else cell
            invariants.one_content(key, self._store.get(part.number, key), arrived)
        return Status.OK

    def _read_key(self, part: Part, message: ReadKey) -> Reply:
        try:
            cell = self._store.get(part.number, message.key)
        except CorruptCellError:
            return self._refuse_corrupt(part, message)
        return self._reply(part, message)._replace(cell=cell)

    def _refuse_corrupt(self, part: Part, message: Request) -> Reply:
        assert isinstance(message, Accept | CopyIn | ReadKey | Drop)
        number = self._corruption(part, message.key)
        return self._reply(part, message, Status.CORRUPT)._replace(number=number)

    def _corruption(self, part: Part, key: bytes) -> int:
        """The number of this corruption: a repair that repeats it was sent after it was seen.

        Without it a late Accept of an older version could take the place of the lost cell, and
        this member would vote for less than it has acknowledged.
        """
        if key not in part.corrupt:
            self._corruptions += 1
            part.corrupt[key] = self.identity.incarnation << 32 | self._corruptions
        return part.corrupt[key]

    def _list_keys(self, part: Part, message: ListKeys) -> Reply:
        """A page of keys. Each key is listed, also one whose cell is corrupt (at ZERO).

        Where that cannot be, this member's list counts for nothing: without a key of which it
        shares the only majority, a copy would lose what was acknowledged (R17).
        """
        limit = self._settings.page_keys
        try:
            page = self._store.page(part.number, message.after, limit + 1)
        except UnreadableError:
            return self._reply(part, message, Status.CORRUPT)
        wanted, buckets = frozenset(message.buckets), self._settings.buckets
        listed = tuple(
            (key, head.ver if head is not None else ZERO)
            for key, head in page[:limit]
            if not wanted or bucket_of(key, buckets) in wanted
        )
        more = len(page) > limit
        if more and (not listed or listed[-1][0] != page[limit - 1][0]):
            # The page ends where the next one starts, whatever the filter left out.
            listed = (*listed, (page[limit - 1][0], ZERO))
        return self._reply(part, message)._replace(keys=listed, more=more)

    def _raise_floor(self, part: Part, floor: Version) -> None:
        if floor > part.record.floor:
            self._save(part, part.record._replace(floor=floor))

    def _drop(self, part: Part, message: Drop) -> Reply:
        try:
            stored = self._store.get(part.number, message.key)
        except CorruptCellError:
            return self._refuse_corrupt(part, message)
        self._raise_floor(part, message.ver)
        if stored is not None and stored.ver == message.ver:
            self._store.delete(part.number, message.key, stored)
        return self._reply(part, message)
