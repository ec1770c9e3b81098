"""A few members on one table: real cores, envelopes carried by hand, one clock for each.

Owns the carrying. ``settle`` delivers until nothing moves; ``hold`` keeps envelopes that a test
wants to arrive later; time passes only in ``wait``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from becket.core.build import is_compiled
from becket.core.replication.cells import Answer, Attempt, Kind, Operation
from becket.core.replication.effects import Certificate
from becket.core.replication.member import Member
from becket.core.replication.messages import Message
from becket.core.replication.roles import Role
from becket.core.replication.settings import MS, Settings
from becket.core.replication.versions import ZERO, Identity, Version
from becket.core.ring.config import Config, first_config
from tests.simulation.disks import SimulatedDisk
from tests.simulation.lookouts import looked_over

interpreted = pytest.mark.skipif(is_compiled(), reason="compiled: no docstrings, no wrapping")
Carried = TypeVar("Carried")
Envelope = tuple[str, str, Message]
WALL_MS = 1_700_000_000_000


class Stage:
    """Members named a, b, c, ...; the name is the disk id."""

    def __init__(self, names: str = "abc", replicas: str = "abc", **settings: int) -> None:
        self.settings = Settings(**settings)
        self.now_us = 10**9
        self.disks = {name: SimulatedDisk(name) for name in names}
        self.members: dict[str, Member] = {}
        self.config = first_config(tuple(replicas))
        self.held: list[Envelope] = []
        self.hold: Callable[[str, str, Message], bool] = lambda _from, _to, _message: False
        self.seen: list[Envelope] = []
        """Every envelope that was sent, held or not; a test clears it when it likes."""
        self.answers: dict[int, Answer] = {}
        self.certificates: list[Certificate] = []
        self.copies: int | None = None
        """What each tick allows to be taken up for copying."""
        self._moving: list[Envelope] = []
        self._ids = 0
        for name in names:
            self.start(name)
            self.offer(name, self.config)

    # Life and time

    def start(self, name: str) -> Member:
        """Start a member's process on its disk."""
        disk = self.disks[name]
        disk.incarnation += 1
        identity = Identity(name, disk.incarnation)
        member = Member(self.settings, identity, (disk, disk.recovered()), self.now_us)
        self.members[name] = looked_over(member)
        return member

    def stop(self, name: str) -> None:
        """Kill a member's process; everything written was synced."""
        del self.members[name]

    def clocks(self) -> tuple[int, int]:
        """Everybody's clocks."""
        return self.now_us, WALL_MS + self.now_us // MS

    def wait(self, ms: int, step_ms: int = 20) -> None:
        """Let time pass for everybody, and everything in it happen."""
        for _ in range(0, ms, step_ms):
            self.now_us += step_ms * MS
            for name in sorted(self.members):
                self.members[name].tick(self.clocks(), self.copies)
                self._take(name)
            self.settle()

    # Carrying

    def _take(self, name: str) -> None:
        effects = self.members[name].take()
        disk = self.disks[name]
        if effects.writes:
            disk.apply(effects.writes)
            disk.sync(1)
        self._moving += [(name, to, m) for to, m in effects.requests + effects.replies]
        for answer in effects.answers + effects.synced_answers:
            assert answer.id not in self.answers, "an attempt was answered twice"
            self.answers[answer.id] = answer
        self.certificates += effects.certificates

    def settle(self) -> None:
        """Deliver what moves, in order, until nothing does; bounded."""
        for _ in range(100_000):
            if not self._moving:
                return
            sender, to, message = self._moving.pop(0)
            self.seen.append((sender, to, message))
            if sender != to and self.hold(sender, to, message):
                self.held.append((sender, to, message))
            else:
                self.deliver((sender, to, message))
        raise AssertionError("the members never come to rest")

    def deliver(self, envelope: Envelope) -> None:
        """Deliver one envelope now; one for a dead process is lost."""
        sender, to, message = envelope
        if to in self.members and sender in self.disks:
            identity = Identity(sender, self.disks[sender].incarnation)
            self.members[to].receive(self.clocks(), identity, [message])
            self._take(to)

    def sent(self, kind: type[Carried]) -> list[Carried]:
        """Every message of one kind that was sent."""
        return [message for _, _, message in self.seen if isinstance(message, kind)]

    def cut(self, *names: str) -> None:
        """Hold everything between these members and the others."""
        self.hold = lambda sender, to, _message: (sender in names) != (to in names)

    def heal(self) -> None:
        """Hold nothing from now on; what was held is lost."""
        self.hold = lambda _sender, _to, _message: False
        self.held.clear()

    def release_held(self) -> None:
        """Deliver what was held, and everything that follows."""
        self.hold = lambda _sender, _to, _message: False
        held, self.held = self.held, []
        for envelope in held:
            self.deliver(envelope)
        self.settle()

    # Acting

    def offer(self, name: str, config: Config) -> None:
        """Show a member the ring."""
        self.members[name].offer(self.clocks(), [(0, config)])
        self._take(name)
        self.settle()

    def coordinator(self) -> str:
        """Who coordinates; waits for somebody to."""
        for _ in range(40):
            reigning = self.reigning()
            if len(reigning) == 1:
                return reigning[0]
            self.wait(100)
        raise AssertionError(f"nobody coordinates alone: {self.reigning()}")

    def reigning(self) -> list[str]:
        """Every member that believes to coordinate."""
        return [
            name
            for name, member in sorted(self.members.items())
            if 0 in member.seats and member.seats[0].role is Role.COORDINATING
        ]

    def cells(self, name: str) -> dict[bytes, bytes | None]:
        """The values on one disk."""
        return {key: cell.value for key, cell in self.disks[name].view.cells.get(0, {}).items()}

    def certify(self, gen: int) -> Certificate:
        """Wait until the copy of this generation is certified."""
        for _ in range(50):
            for certificate in self.certificates:
                if certificate.gen == gen:
                    return certificate
            self.wait(100)
        raise AssertionError("the copy is never certified")

    def send(self, name: str, *operations: Operation, **changes: Any) -> int:  # noqa: ANN401 - fields of Attempt
        """Submit an attempt; returns its id. Fields of ``Attempt`` may be overridden."""
        self._ids += 1
        attempt = Attempt(
            self._ids,
            0,
            b"k",
            operations,
            "s",
            self._ids,
            retry=False,
            stamp=ZERO,
            deadline_us=self.now_us + 1000 * MS,
        )._replace(**changes)
        self.members[name].submit(self.clocks(), [attempt])
        self._take(name)
        self.settle()
        return self._ids

    def ask(self, name: str, *operations: Operation, **changes: Any) -> Answer:  # noqa: ANN401 - fields of Attempt
        """Submit an attempt that is answered at once."""
        return self.answers[self.send(name, *operations, **changes)]


def many(partitions: int, hand_over_window: int = 4) -> Stage:
    """A stage whose members are at rest and hold many partitions, all coordinated by the first."""
    stage = Stage(hand_over_window=hand_over_window)
    for name in "abc":
        offered = [(number, stage.config) for number in range(1, partitions)]
        stage.members[name].offer(stage.clocks(), offered)
        stage._take(name)
    stage.wait(3000)
    assert len(stage.members["a"].reigns()) == partitions
    assert sum(len(member.reigns()) for member in stage.members.values()) == partitions
    return stage


def put(value: str, **changes: Any) -> Operation:  # noqa: ANN401 - fields of Operation
    """A put."""
    return Operation(Kind.PUT, value.encode())._replace(**changes)


GET = Operation(Kind.GET)
DELETE = Operation(Kind.DELETE)


def increment(delta: int = 1) -> Operation:
    """An increment."""
    return Operation(Kind.INCREMENT, delta=delta)


def if_version(version: Version | None, value: str) -> Operation:
    """A compare-and-set."""
    return Operation(Kind.PUT, value.encode(), if_version=version)
