"""The messages between members (PROTOCOL R8-R25, R34, R35).

Owns their shapes only; adapters turn them into protobuf. Each is a tuple that names its
partition; an envelope between two members carries many. ``gen`` and ``epoch`` are the sender's.
``config`` is there when the receiver may not know that generation yet; a receiver that lacks it
answers BEHIND and is sent it. ``id`` ties a reply to the request that it answers (R9).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from becket.core.replication.cells import AnyCell, Cell
from becket.core.replication.versions import Epoch, Version
from becket.core.ring.config import Config, Disk


class Status(IntEnum):
    """How a member took a request."""

    OK = 1
    GEN = 2
    EPOCH = 3
    FLOOR = 4
    LEASE = 5
    BEHIND = 6
    CORRUPT = 7


class WouldPromise(NamedTuple):
    """Asks whether a Prepare would be granted; changes nothing (R11a)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int


class WouldReply(NamedTuple):
    """``wait_us``: how long to wait before asking again when ``yes`` is false."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    yes: bool
    wait_us: int
    config: Config | None
    promised: Epoch


class Prepare(NamedTuple):
    """Asks for a promise. ``released`` is the epoch that a hand-over gave up (R24)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config
    released: Epoch | None


class Accept(NamedTuple):
    """Stores a cell whose version is of this epoch. ``repair`` answers a CORRUPT refusal."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    key: bytes
    cell: AnyCell
    repair: int


class CopyIn(NamedTuple):
    """Stores a chosen cell at its own, older version (R18, R35)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    key: bytes
    cell: Cell


class CopyKeys(NamedTuple):
    """Stores many chosen cells, each at its own, older version (R18); the key stands beside each.

    Answered by the keys whose cells were not stored: they are below the floor, or what is there
    cannot be read.
    """

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    cells: tuple[tuple[bytes, Cell], ...]


class ReadKey(NamedTuple):
    """Reads a key after raising the promise (R13)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    key: bytes


class Check(NamedTuple):
    """Asks whether this epoch still stands (R16)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None


class ListKeys(NamedTuple):
    """Lists keys with versions, tombstones too, in pages after ``after`` (R17, R35).

    ``buckets``: only keys of these; empty lists all.
    """

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    buckets: tuple[int, ...]
    after: bytes | None


class Compare(NamedTuple):
    """Asks for the digests of all buckets (section 5)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None


class SetFloor(NamedTuple):
    """Raises the floor of a newcomer whose copy is complete (R19)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    floor: Version


class Drop(NamedTuple):
    """Purges one tombstone of exactly this version (R21)."""

    partition: int
    gen: int
    epoch: Epoch
    id: int
    config: Config | None
    key: bytes
    ver: Version


class Release(NamedTuple):
    """The lease held under ``epoch`` is given up for ever (R24)."""

    partition: int
    epoch: Epoch


class HandOver(NamedTuple):
    """The receiver is to take the partition over now (R24)."""

    partition: int
    gen: int
    epoch: Epoch
    config: Config


class Reply(NamedTuple):
    """A member's answer to any request above; unused fields keep their defaults.

    ``floor`` is the member's purge floor. ``cell`` answers ReadKey (None = ABSENT). ``digests``
    answers Prepare (one root) and Compare (one per bucket; None = has a corrupt cell). ``keys``
    answers ListKeys, and CopyKeys with what was left out; ``more`` says that another page follows.
    GEN carries the member's config, EPOCH its promise, LEASE the remaining time, CORRUPT the number
    that ``repair`` must repeat.
    """

    partition: int
    gen: int
    epoch: Epoch
    id: int
    status: Status
    floor: Version
    cell: Cell | None = None
    digests: tuple[int | None, ...] = ()
    keys: tuple[tuple[bytes, Version], ...] = ()
    more: bool = False
    config: Config | None = None
    promised: Epoch | None = None
    number: int = 0


class Claim(NamedTuple):
    """What one member says to another about all partitions that they share (R22-R25, R34).

    ``covered`` lists (partition, gen, epoch) that the sender coordinates; None when ``digest``,
    its hash, should be enough. ``lease_us`` 0 asks for no lease. ``clock_us`` is the sender's
    own clock, which R34 calls the beat; ``bounded`` asks for an answer about levels that is
    good for bounded reads. ``id`` ties the reply to the moment of sending. ``leaving``: the
    sender hands everything over for good, and takes nothing from anybody.
    """

    id: int
    digest: int
    covered: tuple[tuple[int, int, Epoch], ...] | None
    lease_us: int
    clock_us: int
    bounded: bool
    leaving: bool = False


class ClaimReply(NamedTuple):
    """``granted`` is whether the digests were equal; ``except_`` are the partitions not covered.

    ``unknown``: the receiver has no list for this digest, so the next Claim must carry one.
    ``level``: partitions that the replier coordinates and where the claimant is level;
    ``bounded``: those where the answer was given inside the replier's lease (R34), for the
    moment ``clock_us`` of the claimant.
    """

    id: int
    lease_us: int
    unknown: bool
    except_: tuple[int, ...]
    clock_us: int
    level: tuple[int, ...]
    bounded: tuple[int, ...]


Request = (
    Prepare | Accept | CopyIn | CopyKeys | ReadKey | Check | ListKeys | Compare | SetFloor | Drop
)
Message = Request | WouldPromise | WouldReply | Release | HandOver | Reply | Claim | ClaimReply


class Sent(NamedTuple):
    """A message and the disk that it is for."""

    to: Disk
    message: Message
