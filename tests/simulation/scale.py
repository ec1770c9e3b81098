"""Scale on paper machines: ``python -m tests.simulation.scale`` prints the table of docs/scale.md.

The shipped detectors, planner and plans run against a simulated network; nothing here decides
anything that they should. Members die one after another, in runs of their own; every figure is
taken at the surviving members.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from becket.core.membership.detector import Beat, Detector, Message
from becket.core.membership.settings import MS, SECOND, MembershipSettings
from becket.core.membership.states import Health
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.versions import Identity
from becket.core.ring.encoding import encode
from becket.core.ring.members import Member, in_order
from becket.core.ring.ring import Ring

PARTITIONS, REPLICAS, ZONES = 1024, 3, 3
TICK_US = 10 * MS
"""How often a member's loop looks at the clock."""
WARM_US, WATCH_US = 1 * SECOND, 1500 * MS
SETTINGS = MembershipSettings()


@dataclass(frozen=True)
class Network:
    """Delays of one message: a floor, an exponential tail, rare long stalls, and loss."""

    floor_us: int = 200
    tail_us: int = 1 * MS
    stall_us: int = 60 * MS
    stalls: float = 0.002
    loss: float = 0.01

    def delay(self, rng: random.Random) -> int | None:
        """Microseconds until a message arrives; None where it does not."""
        if rng.random() < self.loss:
            return None
        delay = self.floor_us + rng.expovariate(1 / self.tail_us)
        if rng.random() < self.stalls:
            delay += rng.random() * self.stall_us
        return int(delay)


@dataclass
class Run:
    """One cluster in which one member dies (or none)."""

    names: Sequence[str]
    rng: random.Random
    network: Network
    sent: Counter[str] = field(default_factory=Counter)
    detected: dict[str, int] = field(default_factory=dict)
    false_alarms: int = 0

    def go(self, victim: str | None, dies_us: int, until_us: int) -> None:
        """Run to the end; ``victim`` says nothing from ``dies_us`` on."""
        detectors = {n: Detector(SETTINGS, Identity(n, 1), 0) for n in self.names}
        queue: list[tuple[int, int, str, Message | None]] = []
        for name, detector in detectors.items():
            detector.set_members(0, self.names)
            heapq.heappush(queue, (self.rng.randrange(TICK_US), len(queue), name, None))
        number = len(queue)
        while queue and queue[0][0] < until_us:
            now_us, _, name, message = heapq.heappop(queue)
            if name == victim and now_us >= dies_us:
                continue
            detector = detectors[name]
            if message is None:
                detector.tick(now_us)
                number += 1
                heapq.heappush(queue, (now_us + TICK_US, number, name, None))
            else:
                detector.receive(now_us, message)
            out = detector.take()
            for change in out.changes:
                self._note(change.identity.disk == victim, name, change.after, now_us - dies_us)
            for to, sent in out.messages:
                self.sent[type(sent).__name__] += 1
                delay = self.network.delay(self.rng)
                if delay is not None:
                    number += 1
                    heapq.heappush(queue, (now_us + delay, number, to, sent))

    def _note(self, right: bool, observer: str, after: Health, late_us: int) -> None:
        if after is not Health.SUSPECT:
            return
        if right and late_us >= 0:
            self.detected.setdefault(observer, late_us)
        else:
            self.false_alarms += 1


@dataclass
class Detection:
    """What many runs of one size showed."""

    size: int
    beats: float = 0.0
    """Beats that the whole cluster sends in a second."""
    spreading: float = 0.0
    """Messages that spread one suspicion."""
    missed: int = 0
    false_alarms: int = 0
    times_us: list[int] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Milliseconds from the death until so many (observer, victim) pairs had seen it."""
        times = sorted(self.times_us)
        return times[min(len(times) - 1, int(share * len(times)))] / MS


def detection(size: int, trials: int, seed: int) -> Detection:
    """Kill one member in each of ``trials`` runs; one run more without a death counts beats."""
    names = [f"d{i}" for i in range(size)]
    quiet = Run(names, random.Random(seed), Network())
    quiet.go(None, 0, 5 * SECOND)
    found = Detection(size, beats=quiet.sent[Beat.__name__] / 5, false_alarms=quiet.false_alarms)
    for trial in range(trials):
        rng = random.Random(seed * 1000 + trial)
        dies_us = WARM_US + rng.randrange(SETTINGS.beat_us)
        run = Run(names, rng, Network())
        run.go(rng.choice(names), dies_us, dies_us + WATCH_US)
        found.times_us += run.detected.values()
        found.missed += size - 1 - len(run.detected)
        found.false_alarms += run.false_alarms
        found.spreading += (run.sent["Silence"] + run.sent["Sound"]) / trials
    return found


@dataclass(frozen=True)
class TakeOver:
    """One member's death as its peers have to work it off; means over all members."""

    partitions: float
    """Partitions that the dead member coordinated."""
    members: float
    """Members that take some of them over."""
    singly: float
    """Prepares if each partition sent its own."""
    bulk: float
    """Prepares when all for one pair of members go together."""


def take_over(ring: Ring) -> TakeOver:
    """The next replica in each partition's order stands, and prepares on those that are left."""
    lost, takers, singly, bulk = [], [], [], []
    for victim in ring.members:
        led = [c for c in ring.configs if c.old[0] == victim.disk]
        pairs = Counter((c.old[1], other) for c in led for other in c.old[2:])
        lost.append(len(led))
        takers.append(len({c.old[1] for c in led}))
        singly.append(sum(pairs.values()))
        bulk.append(len(pairs))
    count = len(ring.members)
    return TakeOver(sum(lost) / count, sum(takers) / count, sum(singly) / count, sum(bulk) / count)


def members_of(size: int) -> tuple[Member, ...]:
    """Members dealt over the zones, each on its own node."""
    return in_order(Member(f"d{i}", f"m-{i}", f"z{i % ZONES}", f"n{i}") for i in range(size))


def best_ms(members: Sequence[Member], ring: Ring) -> float:
    """The best of three plans, in milliseconds of processor time."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        place(ring, members, Constraints(REPLICAS))
        times.append(time.process_time() - begun)
    return min(times) * 1000


def rows(sizes: Sequence[int], runs: int) -> list[tuple[str, ...]]:
    """The table, one column a size."""
    columns: list[tuple[str, ...]] = []
    for size in sizes:
        seen = detection(size, max(8, runs * 10 // size), seed=size)
        ring = first_ring("paper", members_of(size), PARTITIONS, Constraints(REPLICAS))
        grown = members_of(size + 1)
        join = place(ring, grown, Constraints(REPLICAS))
        over = take_over(ring)
        columns.append(
            (
                f"{size} members",
                f"{seen.beats / size:.0f} / {seen.beats:.0f}",
                f"{seen.at(0.5):.0f} / {seen.at(0.99):.0f} / {seen.at(1):.0f}",
                f"{len(seen.times_us)} / {seen.missed} / {seen.false_alarms}",
                f"{seen.spreading:.0f}",
                f"{over.partitions:.1f} by {over.members:.1f}",
                f"{over.singly:.1f} / {over.bulk:.1f}",
                f"{len(encode(ring)) / 1024:.1f}",
                f"{best_ms(grown, ring):.0f}",
                f"{len(join.moves)} / {join.bound}",
            )
        )
    heads = (
        "",
        "beats a second, each member / all",
        "death seen by the others, p50 / p99 / max, ms",
        "pairs that saw it / missed it / false alarms",
        "messages that spread one suspicion",
        "partitions taken over, by members",
        "prepares singly / in bulk",
        "ring, KiB",
        "plan of a join, ms",
        "copies a join moves / fewest possible",
    )
    return list(zip(heads, *columns, strict=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 50, 200])
    parser.add_argument("--runs", type=int, default=200, help="deaths at 10 members")
    options = parser.parse_args()
    for number, row in enumerate(rows(options.sizes, options.runs)):
        print(f"| {' | '.join(row)} |")
        if number == 0:
            print("| --- " * len(row) + "|")


if __name__ == "__main__":
    main()
