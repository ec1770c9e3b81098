"""A whole simulated cluster: processes, clients, supervisors and the object that keeps the ring.

Owns the wiring: who reaches whom, and what is known of the run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from becket.core.histories.entries import History
from becket.core.replication.cells import Answer, Attempt
from becket.core.replication.effects import Certificate
from becket.core.replication.invariants import InvariantError
from becket.core.replication.messages import Message
from becket.core.replication.settings import Settings
from becket.core.ring.config import Config, first_config
from tests.simulation.processes import Clock, Process
from tests.simulation.world import MS, World


@dataclass(frozen=True)
class Shape:
    """The size of one run's cluster; drawn once a run."""

    members: int
    replicas: int
    partitions: int
    clients: int
    keys: int
    """Keys of each partition."""
    deletes: float = 0.42
    """Writes below this draw are increments and deletes."""


Filter = Callable[[tuple[str, str], Message, Callable[..., None], tuple[object, ...]], bool]
"""Whether a message between two members is kept back, with what would deliver it."""


def _nothing(*_: object) -> None:
    """Nobody watches."""


class TopologyObject:
    """The one object that holds the ring; changed by compare-and-swap only."""

    def __init__(self, configs: tuple[Config, ...]) -> None:
        self.version = 1
        self.on_change: Callable[[tuple[Config, ...], tuple[Config, ...]], None] = _nothing
        self.configs = configs
        self.contents: dict[tuple[int, int], Config] = {
            (p, config.gen): config for p, config in enumerate(configs)
        }

    def compare_and_swap(self, expected: int | None, configs: tuple[Config, ...]) -> bool:
        """Change the object if it is still at ``expected`` (None: whatever it is)."""
        if expected is not None and expected != self.version:
            return False
        before, self.configs = self.configs, configs
        self.version += 1
        self.on_change(before, configs)
        return True


class Cluster:
    """One run's processes and what connects them."""

    def __init__(self, world: World, shape: Shape, settings: Settings) -> None:
        self.world = world
        self.shape = shape
        self.settings = settings
        self.history = History()
        self.answers: dict[int, tuple[str, Callable[[Answer], None]]] = {}
        self.tick_us = world.rng.choice((20, 40)) * MS
        self.slow_sync = 0.0
        self.certificates: list[Callable[[Certificate], None]] = []
        self.on_send: Callable[[Process, list[Message]], None] = _nothing
        self.filter: Filter | None = None
        self.on_certificate: Callable[[Process, int], None] = _nothing
        self._disks = 0
        self._attempts = 0
        self._by_disk: dict[str, Process] = {}
        self.processes: list[Process] = []
        extreme = world.rng.random() < 0.5
        for index in range(shape.members):
            self.processes.append(Process(self, f"m{index}", settings, self._clock(extreme)))
        first = [p.disk.disk for p in self.processes]
        configs = []
        for number in range(shape.partitions):
            turned = first[number % len(first) :] + first[: number % len(first)]
            configs.append(first_config(tuple(turned[: shape.replicas])))
        self.topology = TopologyObject(tuple(configs))

    def _clock(self, extreme: bool) -> Clock:
        rho = self.settings.clock_rate_error
        rate = 1 + (self.world.rng.choice((-rho, rho)) if extreme else 0.0)
        return Clock(self.world, rate, self.world.rng.randint(-400, 400))

    def start(self) -> None:
        """Start every process and show it the first ring."""
        for process in self.processes:
            process.start()
            process.offer(list(enumerate(self.topology.configs)))

    def new_disk_id(self, name: str) -> str:
        """A disk id that was never used."""
        self._disks += 1
        return f"d{self._disks}-{name}"

    def next_attempt_id(self) -> int:
        """A number that no other attempt of this run has."""
        self._attempts += 1
        return self._attempts

    def introduce(self, process: Process) -> None:
        """A process serves this disk from now on."""
        self._by_disk[process.disk.disk] = process

    def process_of(self, disk: str) -> Process | None:
        """The process that serves a disk, if any does."""
        process = self._by_disk.get(disk)
        return process if process is not None and process.disk.disk == disk else None

    def reigning(self, partition: int) -> list[Process]:
        """The processes that believe they coordinate a partition; there may be several."""
        found = []
        for process in self.processes:
            seat = process.member.seats.get(partition) if process.member is not None else None
            if seat is not None and seat.coordinator is not None:
                found.append(process)
        return found

    def carry(self, sender: Process, to: str, messages: list[Message]) -> None:
        """Take an envelope between members."""
        receiver = self.process_of(to)
        if receiver is not None:
            self.on_send(sender, messages)
            messages = self._passing(sender, receiver, messages)
            if not messages:
                return
            self.world.carry(
                (sender.name, receiver.name),
                receiver.receive,
                sender.identity,
                receiver.identity,
                messages,
            )

    def _passing(
        self, sender: Process, receiver: Process, messages: list[Message]
    ) -> list[Message]:
        """What a schedule lets pass; what it keeps back it delivers itself, or never."""
        if self.filter is None:
            return messages
        way = (sender.name, receiver.name)
        identities = (sender.identity, receiver.identity)
        return [
            m for m in messages if not self.filter(way, m, receiver.receive, (*identities, [m]))
        ]

    def call(
        self,
        client: str,
        to: Process,
        attempt: Attempt,
        timeout_us: int,
        done: Callable[[Answer], None],
    ) -> None:
        """Take a client's attempt to a member."""
        self.world.carry_once((client, to.name), to.submit, attempt, timeout_us, done)

    def answer(self, name: str, answer: Answer) -> None:
        """Take an answer back to the client that asked."""
        member, client = self.answers.pop(answer.id)
        assert member == name
        self.world.carry_once((name, client.__self__.name), client, answer)  # type: ignore[attr-defined]

    def audit_topology(self) -> None:
        """Invariant 1 for the object: a generation names one content, for ever."""
        for partition, config in enumerate(self.topology.configs):
            known = self.topology.contents.setdefault((partition, config.gen), config)
            if known != config:
                raise InvariantError(1, f"generation {config.gen} of {partition} was changed")

    def certify(self, process: Process, certificate: Certificate) -> None:
        """Take a certificate to whoever supervises."""
        self.on_certificate(process, certificate.partition)
        for supervisor in self.certificates:
            self.world.carry((process.name, "supervisor"), supervisor, certificate)
