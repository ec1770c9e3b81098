"""A member's seat in one partition: its role, and what is volatile about it.

Owns the shapes; ``standing`` moves a seat up to coordinator and ``reigns`` moves it down again.
Invariant: ``coordinator`` is set exactly while the role is COORDINATING or DRAINING,
``candidature`` exactly while it is ASKING or PREPARING. Whatever gives a tick something to do here
stirs the seat (``lookout``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from becket.core.replication.cells import Attempt
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.replica import Part
from becket.core.replication.roles import Event, Role, advance
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.core.ring.config import Config, Disk


class Candidature:
    """One attempt to become coordinator under one epoch (R11)."""

    __slots__ = (
        "again_us",
        "epoch",
        "floor",
        "gen",
        "id",
        "released",
        "roots",
        "sent_us",
        "started_us",
        "wait_us",
        "yes",
    )

    def __init__(self, gen: int, epoch: Epoch, message_id: int, now_us: int) -> None:
        self.gen = gen
        self.epoch = epoch
        self.id = message_id
        self.started_us = now_us
        self.sent_us = now_us
        self.released: Epoch | None = None
        self.yes: set[Disk] = set()
        self.wait_us = 0
        self.roots: dict[Disk, int | None] = {}
        self.floor: Version = ZERO
        self.again_us: dict[Disk, int] = {}


class Seat:
    """One partition at one member, as far as coordinating it is concerned."""

    __slots__ = (
        "candidature",
        "coordinator",
        "drain_until_us",
        "next_config",
        "offer_due_us",
        "offered",
        "park_until_us",
        "parked",
        "part",
        "return_us",
        "role",
        "stand_after_us",
        "stir",
        "story",
        "successor",
    )

    def __init__(self, part: Part, stir: Callable[[Seat], None]) -> None:
        self.part = part
        self.stir = stir
        self.role = Role.FOLLOWER
        self.story: deque[str] = deque(maxlen=8)
        self.candidature: Candidature | None = None
        self.coordinator: Coordinator | None = None
        self.stand_after_us = 0
        self.parked: list[Attempt] = []
        self.park_until_us = 0
        self.drain_until_us = 0
        self.return_us = 0
        self.successor: Disk = ""
        self.next_config: Config | None = None
        self.offered: Config | None = None
        self.offer_due_us = 0

    def park(self, attempts: Iterable[Attempt]) -> None:
        """Hold attempts until there is a coordinator to send them to."""
        self.parked.extend(attempts)
        self.stir(self)

    def offer(self, config: Config, due_us: int) -> None:
        """Remember a config of the ring, to be adopted when no coordinator has brought it."""
        self.offered = config
        self.offer_due_us = due_us
        self.stir(self)

    def advance(self, event: Event) -> None:
        """Take a step in the table of roles."""
        story = f"partition {self.part.number}: {', '.join(self.story)}"
        before, self.role = self.role, advance(self.role, event, story)
        if before is not self.role:
            self.stir(self)
            self.story.append(f"{before.value} -> {self.role.value} ({event.value})")
