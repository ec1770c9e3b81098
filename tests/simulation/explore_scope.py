"""A scope: a small cluster, what may happen in it, and how it begins.

Owns the vocabulary of scopes and the calm beginning (messages in order, nothing lost) that puts a
cluster where its exploration starts. The scopes themselves are in ``explore_scopes``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from becket.core.replication.cells import Kind, Operation
from becket.core.replication.messages import Claim, Message, WouldPromise
from becket.core.replication.roles import Role
from becket.core.replication.settings import Settings
from becket.core.replication.versions import Identity
from becket.core.ring.config import first_config
from becket.core.sessions import Call, Session
from tests.simulation.explore_clients import FOR_EVER_US, Script
from tests.simulation.explore_shell import PARTITION, Life, Outputs, Shell

STILL = Settings(
    # Nobody is silent until a hint says so, nobody waits for a turn, everything offered is due.
    suspicion_us=10**16,
    suspicion_factor=1,
    stand_step_us=0,
    stand_unlevel_us=0,
    gossip_us=0,
    return_us=10**16,
    buckets=1,
)
"""Times for scopes in which no time passes."""


class Do(Enum):
    """What may happen beside messages and clients."""

    STAND = "stands, because it is told that the coordinator is silent"
    HAND_OVER = "is asked to hand over"
    CRASH = "crashes"
    RESTART = "starts again"
    JUMP = "time passes"
    CAS = "the ring's object is changed"
    REPEAT = "a message arrives twice"
    OFFER = "is shown the ring"


class Action(NamedTuple):
    """Something that may happen up to ``times`` times, whenever it is possible.

    ``what``: for STAND (member, members that it asks); for JUMP (microseconds,); for CAS the new
    members, or () to finish, or None to abandon; for REPEAT nothing; for others
    (member,).
    """

    do: Do
    what: Any
    times: int = 1
    after: int = -1
    """The place in the scope's actions of one that must have happened before; -1: none."""


@dataclass(frozen=True)
class Scope:
    """A small cluster and everything that may happen in it."""

    name: str
    about: str
    members: tuple[str, ...]
    replicas: int
    scripts: tuple[Script, ...]
    actions: tuple[Action, ...]
    life: Life = field(default_factory=lambda: Life(STILL))
    written: bool = False
    """Whether the key has a value from the beginning."""
    leased: bool = False
    """Whether the coordinator holds a lease from the beginning."""
    leasing: bool = False
    """Whether the coordinator's claims for a lease are in flight in the beginning."""
    limit: int = 10**9


class Beginning:
    """The calm start: member 0 of the config stands, is crowned, writes."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.shells = [Shell(scope.life, i, disk) for i, disk in enumerate(scope.members)]
        self._queue: deque[tuple[Identity, str, Message]] = deque()
        self._withholds = False
        self.withheld: list[tuple[Identity, str, Message]] = []
        """What is in flight when the exploration begins."""
        self.config = first_config(scope.members[: scope.replicas])
        for shell in self.shells:
            shell.start()
        self._drain()
        for shell in self.shells:
            self._take(shell.offer(self.config))
            self._sync(shell)
        self._drain()
        self._take(self.shells[0].stand())
        self._drain()
        assert self.shells[0].role is Role.COORDINATING
        if scope.written:
            self._submit(1, Operation(Kind.PUT, b"0"))
        if scope.leased:
            self._submit(2, Operation(Kind.GET))
            self._submit(3, Operation(Kind.GET))
        if scope.leasing:
            self._withholds = True
            self._submit(2, Operation(Kind.GET))

    def _submit(self, number: int, operation: Operation) -> None:
        call = Call(PARTITION, b"k", (operation,), number)
        attempt = Session("setup").attempt(call, number, FOR_EVER_US)
        self._take(self.shells[0].submit(attempt))
        self._drain()

    def _take(self, outputs: Outputs) -> None:
        self._queue.extend(outputs.messages)

    def _sync(self, shell: Shell) -> None:
        while shell.unsynced:
            self._take(shell.sync())

    def _drain(self) -> None:
        """Deliver everything in order, but for claims that the scope withholds or loses."""
        claims = self.scope.life.claims
        while True:
            for shell in self.shells:
                self._sync(shell)
            if not self._queue:
                return
            sender, to, message = self._queue.popleft()
            if isinstance(message, Claim):
                if self._withholds:
                    self.withheld.append((sender, to, message))
                if self._withholds or not (self.scope.leased or self.scope.leasing):
                    continue
                if claims and not claims >= {sender.disk, to}:
                    continue
            for shell in self.shells:
                if shell.disk.disk == to:
                    asked = isinstance(message, WouldPromise)
                    outputs = (
                        shell.ask(sender, message)  # type: ignore[arg-type]
                        if asked
                        else shell.receive(sender, message)
                    )
                    self._take(outputs)
