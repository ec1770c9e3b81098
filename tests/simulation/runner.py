"""One seed, one run: faults under load, then peace and a demand for progress, then the verdict.

Owns the phases of a run and what is asked at its end. Deterministic: the verdict of a seed is the
same on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from becket.core.errors import BugError
from becket.core.histories.search import Judgement, judge
from becket.core.replication.cells import Kind, Operation, Outcome
from becket.core.replication.settings import MS, Settings
from tests.simulation.clients import Client, Running
from tests.simulation.cluster import Cluster, Shape
from tests.simulation.faults import NOTHING, Faults, Trim
from tests.simulation.provoker import Provoker
from tests.simulation.supervisors import Supervisor
from tests.simulation.world import SECOND, World

PEACE_US = 40 * SECOND


@dataclass
class Verdict:
    """What one run showed. ``problem`` is empty when all is well."""

    seed: int
    problem: str = ""
    kind: str = "ok"
    acknowledged: int = 0
    unknown: int = 0
    undecided: int = 0
    events: int = 0
    changes: int = 0
    faults: int = 0
    story: list[str] = field(default_factory=list)


def drawn_shape(rng: random.Random) -> Shape:
    """Three to five members, mostly three replicas, one or two partitions, few keys."""
    members = rng.choice((3, 4, 5, 5, 6))
    replicas = min(members, rng.choice((3, 3, 3, 3, 3, 2, 1, 4, 5)))
    partitions, keys = rng.choice((1, 1, 1, 2)), rng.choice((1, 1, 2, 3))
    clients, deletes = rng.choice((2, 3, 4)), rng.choice((0.42, 0.65))
    return Shape(members, replicas, partitions, clients, keys, deletes)


def drawn_settings(rng: random.Random) -> Settings:
    """Times that are short enough for much to happen in a run of a few seconds."""
    lease = rng.choice((150, 250, 400)) * MS
    return Settings(
        lease_us=lease,
        quarantine_us=max(lease, rng.choice((250, 400, 1000)) * MS),
        suspicion_us=lease + rng.choice((0, 50)) * MS,
        stand_unlevel_us=rng.choice((100, 300)) * MS,
        claim_us=lease // 3,
        resend_us=rng.choice((40, 100)) * MS,
        round_us=rng.choice((200, 1000)) * MS,
        gossip_us=rng.choice((50, 400, 1000)) * MS,
        purge_age_us=rng.choice((20, 100, 400, 60_000)) * MS,
        sweep_us=rng.choice((40, 80, 300)) * MS,
        page_us=20 * MS,
        laggard_us=100 * MS,
        compare_us=rng.choice((300, 2000)) * MS,
        return_us=rng.choice((300, 1000)) * MS,
        clock_rate_error=rng.choice((0.01, 0.01, 0.1, 0.3)),
        buckets=rng.choice((1, 4)),
        page_keys=rng.choice((1, 2, 256)),
        copy_window=rng.choice((1, 4)),
        copy_keys=2,
        fresh_limit=rng.choice((1, 1000)),
        records_kept=rng.choice((1, 2, 8)),
        records_limit=8,
        record_age_ms=rng.choice((0, 300)),
    )


class Run:
    """One run in its phases."""

    def __init__(self, seed: int, trim: Trim = NOTHING, *, story: bool = False) -> None:
        self.world = World(seed)
        if story:
            self.world.story = []
        rng = self.world.rng
        self.verdict = Verdict(seed)
        self.settings = drawn_settings(rng)
        self.cluster = Cluster(self.world, drawn_shape(rng), self.settings)
        self.supervisors = [
            Supervisor(self.cluster, "supervisor", self.world.stream(f"supervisor {i}"))
            for i in range(2)
        ]
        for supervisor in self.supervisors:
            supervisor.lose_replies = rng.choice((0.0, 0.2))
            supervisor.patience_us = rng.choice((0, 300, 1000)) * MS
        self.cluster.certificates = [s.certify for s in self.supervisors]
        self.faults = Faults(self.cluster, self.supervisors, trim)
        self.provoker = None
        if self.world.stream("provoker").random() < 0.7 and trim.calls > 5:
            self.provoker = Provoker(self.cluster, "provoker", self.world.stream("provoker"))
        calls = min(trim.calls, rng.choice((6, 10, 16)))
        self.clients = [
            Client(self.cluster, f"c{i}", calls, self.world.stream(f"client {i}"))
            for i in range(self.cluster.shape.clients)
        ]

    def execute(self) -> Verdict:
        """Run to the end and judge."""
        try:
            self._under_faults()
            self._in_peace()
        except BugError as error:
            self._fail("invariant", f"{type(error).__name__}: {error}")
        if self.verdict.kind == "ok":
            self._judge()
        history, verdict = self.cluster.history, self.verdict
        verdict.acknowledged, verdict.unknown = history.acknowledged, history.unknown
        verdict.events = self.world.events
        verdict.changes = sum(config.gen - 1 for config in self.cluster.topology.configs)
        verdict.faults = self.faults.count
        if self.world.story is not None:
            verdict.story = self.world.story
        return verdict

    def _fail(self, kind: str, problem: str) -> None:
        self.verdict.kind, self.verdict.problem = kind, problem
        self.world.tell(f"{kind}: {problem}")

    def _under_faults(self) -> None:
        begin = 300 * MS
        length = self.world.rng.choice((1500, 2500, 4000)) * MS
        self.cluster.start()
        for supervisor in self.supervisors:
            supervisor.start()
        for client in self.clients:
            client.pace_us = length // max(1, client.left)
            self.world.at(self.world.rng.randint(begin, begin + length // 3), client.begin)
        if self.provoker is not None:
            self.world.at(begin, self.provoker.watch)
        self.faults.unleash(begin, begin + length)
        self.world.run_until(begin + length)

    def _in_peace(self) -> None:
        """Faults stop; everything that was begun must end, and every partition take a write."""
        self.faults.heal()
        if self.provoker is not None:
            self.provoker.tries = 0
        self.faults.replace_lost()
        deadline = self.world.now_us + PEACE_US
        step = 250 * MS
        asked = False
        while self.world.now_us < deadline:
            self.world.run_until(self.world.now_us + step)
            self.faults.replace_lost()
            if not asked and self._idle():
                asked = True
                probe = self._probe()
            elif asked and self._whole() and all(r.finished for r in probe):
                self._disturb()
                self._read_back()
                return
        self._fail("liveness", self._what_is_missing(asked))

    def _disturb(self) -> None:
        """R11a: a member that hears nobody, or stood still, must not cost others their reign."""
        rng = self.world.stream("disturbance")
        if rng.random() < 0.75:
            return
        reigns = []
        for partition in self._partitions():
            for process in self.cluster.reigning(partition):
                assert process.member is not None
                seat = process.member.seats[partition]
                assert seat.coordinator is not None
                reigns.append((process, seat, seat.coordinator))
        odd = rng.choice(self.cluster.processes)
        length = 2 * self.settings.suspicion_us + self.settings.candidature_us
        if rng.random() < 0.5:
            odd.pause(length)
        else:
            self.world.tell(f"{odd.name} hears nobody")
            self.world.cuts |= {(process.name, odd.name) for process in self.cluster.processes}
        self.world.run_until(self.world.now_us + length + self.settings.suspicion_us)
        self.world.cuts.clear()
        for process, seat, coordinator in reigns:
            if process is odd or seat.coordinator is coordinator or coordinator.draining:
                continue
            others = [d for d in coordinator.config.members if d != odd.disk.disk]
            if coordinator.config.quorum(frozenset(others)):
                self._fail("liveness", f"{odd.name} deposed {process.name}: {list(seat.story)}")

    def _idle(self) -> bool:
        return all(client.left <= 0 and client.open == 0 for client in self.clients) and (
            self.provoker is None or not self.provoker.open
        )

    def _probe(self) -> list[Running]:
        """One write to every partition, by a client that does not give up."""
        return [self._ask(p, Operation(Kind.PUT, b"probe"), b"probe") for p in self._partitions()]

    def _partitions(self) -> range:
        return range(self.cluster.shape.partitions)

    def _ask(self, partition: int, operation: Operation, key: bytes) -> Running:
        client = Client(self.cluster, f"probe{partition}{key.decode()}", 0, self.world.rng)
        return client.insist(partition, key, operation)

    def _read_back(self) -> None:
        """Read every key once more, for the history: what was acknowledged must be there."""
        keys = {
            (int(e.key[1:].split(b"k")[0]), e.key)
            for e in self.cluster.history.entries
            if e.key != b"probe"
        }
        reads = [self._ask(p, Operation(Kind.GET), key) for p, key in sorted(keys)]
        deadline = self.world.now_us + 10 * SECOND
        while self.world.now_us < deadline and not all(r.finished for r in reads):
            self.world.run_until(self.world.now_us + 100 * MS)
        if not all(read.call.outcome is Outcome.OK for read in reads):
            self._fail("liveness", "a key cannot be read in peace")

    def _whole(self) -> bool:
        """Plans ended, replicas equal, old tombstones purged."""
        for partition, config in enumerate(self.cluster.topology.configs):
            if config.is_joint:
                return False
            images = []
            for disk in config.old:
                process = self.cluster.process_of(disk)
                if process is None:
                    return False
                record = process.disk.view.records.get(partition)
                if record is None or record.config != config or process.disk.unsynced:
                    return False
                images.append(process.disk.view.cells.get(partition, {}))
                if any(at[0] == partition for at in process.disk.view.corrupt):
                    return False
            if any(image != images[0] for image in images):
                return False
            if self.settings.purge_age_us < SECOND and any(
                cell.value is None for cell in images[0].values()
            ):
                return False
        return not any(supervisor.wishes for supervisor in self.supervisors)

    def _what_is_missing(self, asked: bool) -> str:
        if not asked:
            return f"calls never end: {[(c.name, c.left, c.open) for c in self.clients]}"
        return f"never whole: {self.cluster.topology.configs}"

    def _judge(self) -> None:
        for key, entries in sorted(self.cluster.history.by_key().items()):
            judgement = judge(entries)
            if judgement is Judgement.UNDECIDED:
                self.verdict.undecided += 1
            elif judgement is Judgement.VIOLATION:
                lines = "\n".join(str(entry) for entry in entries)
                self._fail("history", f"{key!r} is not linearizable:\n{lines}")
                return


def execute(seed: int, trim: Trim = NOTHING, *, story: bool = False) -> Verdict:
    """Run one seed, all of it or what ``trim`` leaves."""
    return Run(seed, trim, story=story).execute()
