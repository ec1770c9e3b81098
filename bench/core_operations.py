"""What one operation costs in the core: at the coordinator, at a replica, for puts and gets.

Three members in one process, messages carried in lists, no disk and no wire: the figures are the
floor under which no service can go. Run alone; the best of several rounds is printed, in
microseconds an operation, beside a dictionary put of the same keys.
"""

from __future__ import annotations

import time

from becket.core.replication.cells import Attempt, Kind, Operation
from becket.core.replication.member import Member
from becket.core.replication.messages import Message
from becket.core.replication.settings import Settings
from becket.core.replication.versions import ZERO, Identity
from becket.core.ring.config import first_config
from tests.simulation.disks import SimulatedDisk

BATCH, ROUNDS = 1000, 20


class Bench:
    """Three members and where the time goes."""

    def __init__(self) -> None:
        self.now_us = 10**9
        self.disks = {name: SimulatedDisk(name) for name in "abc"}
        self.members = {
            name: Member(Settings(), Identity(name, 1), (disk, disk.recovered()), self.now_us)
            for name, disk in self.disks.items()
        }
        self.spent = dict.fromkeys("abc", 0.0)
        self.answered = 0
        for member in self.members.values():
            member.offer(self.clocks(), [(0, first_config(("a", "b", "c")))])
        for _ in range(100):
            self.now_us += 20_000
            for name, member in self.members.items():
                member.tick(self.clocks())
                self.carry(name)

    def clocks(self) -> tuple[int, int]:
        """Everybody's clocks."""
        return self.now_us, self.now_us // 1000

    def carry(self, start: str) -> None:
        """Deliver until nothing moves, one envelope a pair and turn."""
        waiting = [start]
        while waiting:
            name = waiting.pop(0)
            began = time.perf_counter()
            effects = self.members[name].take()
            self.spent[name] += time.perf_counter() - began
            if effects.writes:
                self.disks[name].view.apply(effects.writes)
            self.answered += len(effects.answers)
            envelopes: dict[str, list[Message]] = {}
            for to, message in effects.requests + effects.replies:
                envelopes.setdefault(to, []).append(message)
            for to, messages in envelopes.items():
                began = time.perf_counter()
                self.members[to].receive(self.clocks(), Identity(name, 1), messages)
                self.spent[to] += time.perf_counter() - began
                waiting.append(to)

    def run(self, operation: Operation, *, keys: int) -> tuple[float, float]:
        """Microseconds an operation at the coordinator and at one replica."""
        best = (1e9, 1e9)
        number = 0
        for _ in range(ROUNDS):
            attempts = []
            for place in range(BATCH):
                number += 1
                key = b"key%d" % (place % keys)
                attempts.append(
                    Attempt(
                        id=number,
                        partition=0,
                        key=key,
                        operations=(operation,),
                        session=f"s{place % 50}",
                        number=int(time.time_ns()),
                        retry=False,
                        stamp=ZERO,
                        deadline_us=10**12,
                    )
                )
            self.spent = dict.fromkeys("abc", 0.0)
            self.answered = 0
            began = time.perf_counter()
            self.members["a"].submit(self.clocks(), attempts)
            self.spent["a"] += time.perf_counter() - began
            self.carry("a")
            assert self.answered == BATCH, self.answered
            scale = 1e6 / BATCH
            best = min(best, (self.spent["a"] * scale, self.spent["b"] * scale))
        return best


def main() -> None:
    """Print the table."""
    bench = Bench()
    value = b"v" * 100
    print(f"{'':24}{'coordinator':>12}{'replica':>10}   us an operation, best of {ROUNDS}")
    for name, operation, keys in (
        ("put, 1000 keys", Operation(Kind.PUT, value), 1000),
        ("put, one key, folded", Operation(Kind.PUT, value), 1),
        ("get, 1000 keys", Operation(Kind.GET), 1000),
    ):
        coordinator, replica = bench.run(operation, keys=keys)
        print(f"{name:24}{coordinator:12.1f}{replica:10.1f}")
    plain: dict[bytes, bytes] = {}
    began = time.perf_counter()
    for place in range(BATCH * 10):
        plain[b"key%d" % (place % BATCH)] = value
    print(f"{'dictionary put':24}{(time.perf_counter() - began) * 1e6 / BATCH / 10:12.2f}")


if __name__ == "__main__":
    main()
