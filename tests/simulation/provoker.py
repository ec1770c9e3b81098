"""A client that notices when two members coordinate one partition, and makes use of it.

Owns the one thing that chance does too seldom: a write at the newer coordinator, then a read at
the older one, which may still have a lease, a checked read or a fresh key. Everything it does any
client may do.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from becket.core.errors import InvalidInputError
from becket.core.replication.cells import Kind, Operation
from tests.simulation.clients import Client, Manners
from tests.simulation.processes import Process
from tests.simulation.world import MS

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

LOOK_US = 8 * MS


class Provoker(Client):
    """Looks out for two coordinators, a bounded number of times."""

    def __init__(self, cluster: Cluster, name: str, rng: random.Random) -> None:
        super().__init__(cluster, name, 0, rng)
        self._manners = Manners(80 * MS, 0, 2, 10 * MS, 0.0, 0.0)
        self.tries = 6
        self._aim: Process | None = None
        self._then: tuple[int, bytes, Process] | None = None
        self._count = 0

    def watch(self) -> None:
        """Look now and then, while anything is left to try."""
        if self.tries <= 0:
            return
        self.world.at(LOOK_US, self.watch)
        for partition in range(self.cluster.shape.partitions):
            reigning = self.cluster.reigning(partition)
            if len(reigning) > 1 and not self.open:
                self._provoke(partition, reigning)

    def _provoke(self, partition: int, reigning: list[Process]) -> None:
        self.tries -= 1
        reigning.sort(key=lambda process: _rank(process, partition))
        key = f"p{partition}k{self._rng.randrange(self.cluster.shape.keys)}".encode()
        self._aim, self._then = reigning[-1], (partition, key, reigning[0])
        self._count += 1
        operation = Operation(Kind.PUT, f"{self.name}.{self._count}".encode())
        if self._rng.random() < 0.3:
            operation = Operation(Kind.INCREMENT, delta=1)
        self._ask(partition, key, operation)

    def _ask(self, partition: int, key: bytes, operation: Operation) -> None:
        try:
            call = self.session.begin(partition, key, (operation,))
        except InvalidInputError:
            return
        self.run(call)

    def _target(self, partition: int) -> Process:
        return self._aim if self._aim is not None else super()._target(partition)

    def _next(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            partition, key, self._aim = then
            self._ask(partition, key, Operation(Kind.GET))


def _rank(process: Process, partition: int) -> tuple[int, str, int]:
    assert process.member is not None
    coordinator = process.member.seats[partition].coordinator
    assert coordinator is not None
    return coordinator.epoch
