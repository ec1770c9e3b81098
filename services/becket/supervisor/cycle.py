"""The supervisor's rounds: observe, decide, act, tell.

Owns when a round takes place and what becomes of its decision. Must not decide: that is
``core.supervision``. Invariants: a round looks at one snapshot; wishes of one round are settled
before the next one begins; each sentence goes to log, status and events, once as long as it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from becket.adapters import clocks
from becket.adapters.rpc.ring_view import RingView
from becket.core.errors import RetryLaterError
from becket.core.placement.result import Constraints
from becket.core.plans.plan import Plan
from becket.core.plans.wishes import Wish
from becket.core.ring.difference import difference
from becket.core.ring.ring import Ring
from becket.core.supervision.beginning import NewCluster, holds_newer
from becket.core.supervision.deciding import Decision, Supervision, SupervisionSettings
from becket.core.supervision.estimates import Estimate, estimate
from becket.core.supervision.offering import offers
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot, Wished
from becket.core.supervision.status import ClusterView, cluster_view
from becket.ports.directory import Directory
from becket.ports.topology import Topology
from becket.supervisor.acting import RingWriter
from becket.supervisor.events import EventLog
from becket.supervisor.observing import Observer, Times
from becket.supervisor.settings import SupervisorSettings

STORAGE = "storage"
NOTHING_SEEN = ClusterView(0, 0, 0, 0, 0, 0, ())


class Cycle:
    """One supervisor's eyes, hands and memory. ``run`` it."""

    def __init__(
        self,
        settings: SupervisorSettings,
        topology: Topology,
        directory: Directory,
        *,
        new_cluster: str,
        log: FilteringBoundLogger,
    ) -> None:
        rules = Constraints(settings.replicas, settings.spread_zones, settings.spread_nodes)
        self.supervision = Supervision(
            SupervisionSettings(settings.membership, settings.plan),
            NewCluster(new_cluster, settings.partitions, rules),
        )
        self.view = RingView()
        self.events = EventLog(settings.events)
        self.decision = Decision((), ())
        self.view_of_cluster = NOTHING_SEEN
        """The cluster in numbers, as of the last round; kept for metrics."""
        self.estimates: dict[str, Estimate] = {}
        self.directory = directory
        self.writer = RingWriter(topology, changed=self.wake)
        times = Times(settings.silence_ms / 1000, settings.call_ms / 1000)
        self.observer = Observer(directory, cluster=self._cluster, changed=self.wake, times=times)
        self._settings = settings
        self._topology = topology
        self._log = log
        self._news = asyncio.Event()
        self._said: dict[tuple[Topic, str], Said] = {}
        self._dead: frozenset[str] = frozenset()
        self._told: Ring | None = None

    def wake(self) -> None:
        """There is news: a round soon."""
        self._news.set()

    def snapshot(self) -> Snapshot:
        """What is seen now."""
        places = self.directory.places(STORAGE).values()
        return Snapshot(
            now_us=clocks.monotonic_us(),
            found=self.writer.found,
            wished=tuple(Wished(p.name, p.zone, p.node, p.weight) for p in places),
            seen=self.observer.seen(),
            confirmed=self.writer.confirmed,
        )

    def _cluster(self) -> str:
        ring = self.writer.confirmed
        return "" if ring is None else ring.cluster

    # Rounds

    async def run(self) -> None:
        """Look after the cluster until cancelled; raises what must not go on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.writer.run(), name="writer")
                tasks.create_task(self._watch_topology(), name="topology")
                tasks.create_task(self._refresh(), name="refresh")
                tasks.create_task(self._rounds(), name="rounds")
        finally:
            await self.observer.close()

    async def _watch_topology(self) -> None:
        async for found in self._topology.watch():
            known = self.writer.confirmed
            if known is None or found.ring.version != known.version:
                self.writer.refresh()

    async def _refresh(self) -> None:
        """A watch does not tell that an object was removed; a read does."""
        while True:
            await asyncio.sleep(self._settings.refresh_ms / 1000)
            self.writer.refresh()

    async def _rounds(self) -> None:
        while True:
            self._news.clear()
            if not await self._round():
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._settings.look_ms / 1000):
                await self._news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._settings.gather_ms / 1000)

    async def _round(self) -> bool:
        """One round; whether it changed the ring."""
        self._follow_directory()
        snapshot = self.snapshot()
        self._note_ring(snapshot)
        self._send_offers(snapshot)
        if not self.writer.is_read:
            return False
        self.decision = self.supervision.decide(snapshot)
        self.view_of_cluster = cluster_view(snapshot)
        self.note_plans(snapshot)
        self._tell(snapshot, self.decision)
        return await self._grant(self.decision.wishes)

    def _follow_directory(self) -> None:
        names = set(self.directory.places(STORAGE))
        if self.writer.confirmed is not None:
            # Who is to leave is heard until the ring has forgotten it.
            names |= {member.name for member in self.writer.confirmed.members}
        self.observer.follow(names)

    def _note_ring(self, snapshot: Snapshot) -> None:
        ring = snapshot.confirmed
        if ring is not None:
            self.view.offer_ring(ring, self.writer.encoded)
            for partition, report in snapshot.coordinators.items():
                self.view.offer_coordinator(partition, report.epoch)
            newer = [s.ring_version for s in snapshot.connected if holds_newer(s, ring)]
            if newer:
                self.writer.note_seen(max(newer))
                self.writer.refresh()
        for seen in snapshot.connected:
            held = 0 if seen.ring is None else seen.ring.version
            if holds_newer(seen, snapshot.found) and held < seen.ring_version:
                self.observer.ask_for_ring(seen.name)

    def _send_offers(self, snapshot: Snapshot) -> None:
        ring, encoded = snapshot.confirmed, self.writer.encoded
        if ring is None or ring != snapshot.found:
            return
        for offer in offers(ring, snapshot):
            self.observer.offer(offer.name, ring, encoded, offer.partitions)

    async def _grant(self, wishes: tuple[Wish, ...]) -> bool:
        if not wishes:
            return False
        try:
            granted = await self.writer.grant(wishes)
        except RetryLaterError as error:
            self._log.info("ring not changed", problem=str(error))
            return False
        for discarded in granted.dropped:
            # Another supervisor was faster, or a person: the next snapshot shows it.
            self._log.info("wish discarded", wish=str(discarded.wish), reason=discarded.reason)
        return bool(granted.applied)

    def note_plans(self, snapshot: Snapshot) -> None:
        """Estimate each plan when it is new, as its size is known then."""
        planning = self.supervision.planning
        plans: list[Plan] = [proposal.plan for proposal in planning.proposals.values()]
        plans += [ended.plan for ended in planning.ended.values()]
        if planning.current is not None:
            plans.append(planning.current)
        known = self.estimates
        self.estimates = {
            plan.id: known[plan.id] if plan.id in known else estimate(plan, snapshot)
            for plan in plans
        }

    # Telling

    def _tell(self, snapshot: Snapshot, decision: Decision) -> None:
        self._tell_ring(snapshot)
        self._tell_lives(snapshot, decision)
        now = {said.identity: said for said in decision.said}
        for identity, said in now.items():
            if identity not in self._said:
                self.say(said.topic, said.sentence, said.member)
        frozen = any(topic is Topic.FREEZE for topic, _ in now)
        if not frozen and any(topic is Topic.FREEZE for topic, _ in self._said):
            self.say(Topic.FREEZE, "ring changes are released")
        self._said = now

    def _tell_ring(self, snapshot: Snapshot) -> None:
        ring, before = snapshot.confirmed, self._told
        if ring is None or (before is not None and ring.version <= before.version):
            return
        self._told = ring
        if before is None:
            sentence = f"ring version {ring.version} of cluster {ring.cluster} is in force"
        else:
            sentence = f"ring version {ring.version}: {_news(before, ring)}"
        self.say(Topic.RING, sentence)

    def _tell_lives(self, snapshot: Snapshot, decision: Decision) -> None:
        names: Mapping[str, str] = (
            {} if snapshot.found is None else {m.disk: m.name for m in snapshot.found.members}
        )
        dead = frozenset(names.get(disk, disk) for disk in decision.judgement.dead)
        for name in sorted(dead - self._dead):
            self.say(Topic.MEMBER, f"{name} is heard by most members no more", name)
        for name in sorted(self._dead - dead):
            if name in names.values():
                self.say(Topic.MEMBER, f"{name} is heard again", name)
        self._dead = dead

    def say(self, topic: Topic, sentence: str, member: str = "") -> None:
        """To log and events."""
        ring = self.writer.confirmed
        version = 0 if ring is None else ring.version
        self._log.info(
            "said", topic=topic.value, sentence=sentence, member=member, ring_version=version
        )
        self.events.add(
            topic, sentence, member=member, ring_version=version, time_ms=clocks.wall_ms()
        )


def _news(before: Ring, after: Ring) -> str:
    """What differs: in full where members do, in numbers within a plan, which says the rest."""
    if before.cluster != after.cluster or before.partitions != after.partitions:
        return f"the cluster is {after.cluster} now"
    if before.members == after.members and before.configs != after.configs:
        found = difference(before, after)
        return f"{len(found.began)} changes began, {len(found.ended)} ended"
    return "; ".join(difference(before, after).sentences)
