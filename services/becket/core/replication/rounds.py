"""The unit of a coordinator's work on one key: a request to the members, and who has answered.

Owns the shapes only; ``coordinator`` sends rounds and ``keys`` decides what follows from them.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

from becket.core.replication.cells import Attempt, Cell
from becket.core.replication.registers import Decision
from becket.core.replication.versions import Version
from becket.core.ring.config import Disk


class Chore(Enum):
    """Work on a key that no client asked for; it waits in the key's queue like any other."""

    COPY = "bring the chosen cell to every newcomer (R18)"
    LEVEL = "bring the chosen cell to every member (R35)"
    PURGE = "drop a tombstone that every member shows (R21)"
    EXPIRE = "write the tombstone of a value whose time has passed (R33)"


class Task(NamedTuple):
    """A chore; ``ver`` is the tombstone that a purge is about."""

    chore: Chore
    ver: Version


Work = Attempt | Task


class Step(Enum):
    """What a round asks of the members."""

    TOUCH = "read the key"
    WRITE = "store a cell of this epoch"
    COPY = "store a chosen cell at its own version"


class Round:
    """One request on one key, until it is decided or given up.

    ``need``: disks whose answer is waited for beyond the quorum, for a while. ``task`` is the
    chore that the round belongs to, ``decisions`` the attempts that are answered when its cell
    is chosen. ``corrupt``: members that cannot read their cell, with the number to repair it by.
    """

    __slots__ = (
        "acks",
        "cell",
        "corrupt",
        "decisions",
        "id",
        "key",
        "need",
        "replies",
        "sent_us",
        "started_us",
        "step",
        "task",
    )

    def __init__(self, step: Step, round_id: int, key: bytes, now_us: int) -> None:
        self.step = step
        self.id = round_id
        self.key = key
        self.started_us = now_us
        self.sent_us = now_us
        self.acks: set[Disk] = set()
        self.replies: dict[Disk, Cell | None] = {}
        self.corrupt: dict[Disk, int] = {}
        self.need: frozenset[Disk] = frozenset()
        self.cell: Cell | None = None
        self.task: Task | None = None
        self.decisions: list[Decision] = []


class KeyState:
    """What the coordinator knows of one key in this epoch (R13, R15, R16).

    ``fresh``: ``cell`` is the chosen cell and this member's own engine holds it. It stays the
    last chosen one while a write is in flight. ``purged``: dropped at that
    version and untouched since.
    """

    __slots__ = ("cell", "fresh", "key", "purged", "queue", "reads", "round")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.fresh = False
        self.purged: Version | None = None
        self.cell: Cell | None = None
        self.queue: deque[Work] = deque()
        self.reads: list[Attempt] = []
        self.round: Round | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way or waiting."""
        return self.round is None and not self.queue and not self.reads

    def take_late(self, now_us: int) -> list[Attempt]:
        """Take out what waits here and has passed its deadline."""
        if not self.queue and not self.reads:
            return []
        late = [w for w in self.queue if isinstance(w, Attempt) and w.deadline_us <= now_us]
        for attempt in late:
            self.queue.remove(attempt)
        late += [read for read in self.reads if read.deadline_us <= now_us]
        self.reads = [read for read in self.reads if read.deadline_us > now_us]
        return late
