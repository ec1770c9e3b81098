"""The supervisor's rounds: observe, decide, act, tell.

Owns when a round takes place and what becomes of its decision. Must not decide: that is
``core.supervision``. Invariants: a round looks at one snapshot; wishes of one round are settled
before others are made, and rounds go on meanwhile; a supervisor that may not act looks and judges,
and changes, offers and tells nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from becket.adapters import clocks
from becket.adapters.rpc.ring_view import RingView
from becket.core.errors import RetryLaterError
from becket.core.placement.result import Constraints
from becket.core.plans.plan import Plan, PlanState
from becket.core.plans.progress import Standing
from becket.core.plans.wishes import Wish
from becket.core.ring.config import Disk
from becket.core.supervision.beginning import NewCluster, holds_newer
from becket.core.supervision.counting import wished_places
from becket.core.supervision.deciding import Decision, Supervision, SupervisionSettings
from becket.core.supervision.estimates import Estimate, copied, estimate
from becket.core.supervision.offering import Offering
from becket.core.supervision.planning import standings
from becket.core.supervision.rates import Rates
from becket.core.supervision.saying import Topic
from becket.core.supervision.snapshot import Snapshot, Wished
from becket.core.supervision.status import ClusterView, cluster_view
from becket.ports.directory import Directory
from becket.ports.leadership import Leadership
from becket.ports.notes import Notes
from becket.ports.platform import Platform
from becket.ports.topology import Topology
from becket.supervisor.acting import RingWriter
from becket.supervisor.events import EventLog
from becket.supervisor.hands import Hands
from becket.supervisor.leading import Fence, Reign
from becket.supervisor.observing import Observer, Times
from becket.supervisor.settings import SupervisorSettings
from becket.supervisor.telling import Teller

STORAGE = "storage"
NOTHING_SEEN = ClusterView(0, 0, 0, 0, 0, 0, ())


@dataclass(frozen=True)
class Ports:
    """What a supervisor stands on. Without a platform nothing but the members tells of them."""

    topology: Topology
    directory: Directory
    leadership: Leadership
    platform: Platform | None = None
    fence: Fence | None = None
    notes: Notes | None = None
    """Where the note of the present plan is kept, where no platform does that."""


class Cycle:
    """One supervisor's eyes, hands and memory. ``run`` it."""

    def __init__(
        self,
        settings: SupervisorSettings,
        ports: Ports,
        *,
        new_cluster: str,
        log: FilteringBoundLogger,
    ) -> None:
        rules = Constraints(settings.replicas, settings.spread_zones, settings.spread_nodes)
        decides = SupervisionSettings(
            settings.membership,
            settings.plan,
            settings.pacing,
            release_us=settings.release_s * 1_000_000,
            gather_us=settings.join_s * 1_000_000,
            relief=settings.relief,
        )
        self.supervision = Supervision(
            decides,
            NewCluster(new_cluster, settings.partitions, rules),
        )
        self.view = RingView()
        self.events = EventLog(settings.events)
        self.platform = ports.platform
        self.teller = Teller(self.events, ports.platform, log)
        self.reign = Reign(ports.leadership, ports.fence, prepare=self._prepare, changed=self.wake)
        self.decision = Decision((), ())
        self.view_of_cluster = NOTHING_SEEN
        """The cluster in numbers, as of the last round; kept for metrics."""
        self.estimates: dict[str, Estimate] = {}
        self.rates = Rates()
        self.declared_gone: set[Disk] = set()
        """Disks that a person has declared gone while a ring waits to be restored."""
        self.directory = directory = ports.directory
        self.writer = RingWriter(
            ports.topology, changed=self.wake, may_write=lambda: self.reign.may_act
        )
        times = Times(settings.silence_ms / 1000, settings.call_ms / 1000)
        self.observer = Observer(directory, cluster=self._cluster, changed=self.wake, times=times)
        self._notes = ports.notes
        if self._notes is not None:
            # On one machine a reign has begun with the process.
            self.supervision.planning.take_note(self._notes.read())
        self.hands = None if ports.platform is None else self._hands(ports.platform, log)
        self._settings = settings
        self._topology = ports.topology
        self._log = log
        self._offering = Offering()
        self._news = asyncio.Event()
        self._granting: asyncio.Task[bool] | None = None
        self._acted = False

    def _hands(self, platform: Platform, log: FilteringBoundLogger) -> Hands:
        return Hands(
            platform,
            may_act=lambda: self.reign.may_act,
            changed=self.wake,
            done=lambda sentence, member: self.say(Topic.PLATFORM, sentence, member),
            log=log,
        )

    def wake(self) -> None:
        """There is news: a round soon."""
        self._news.set()

    def snapshot(self) -> Snapshot:
        """What is seen now."""
        now_us = clocks.monotonic_us()
        view = None if self.platform is None else self.platform.view(now_us)
        if view is None:
            places = self.directory.places(STORAGE).values()
            wished = tuple(Wished(p.name, p.zone, p.node, p.weight) for p in places)
        else:
            wished = wished_places(self.writer.found or self.writer.confirmed, view)
        return Snapshot(
            now_us=now_us,
            found=self.writer.found,
            wished=wished,
            seen=self.observer.seen(),
            confirmed=self.writer.confirmed,
            declared_gone=frozenset(self.declared_gone),
            platform=view,
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
                tasks.create_task(self.reign.run(), name="reign")
                if self.platform is not None and self.hands is not None:
                    tasks.create_task(self.platform.run(self.wake), name="platform")
                    tasks.create_task(self.hands.run(), name="hands")
                tasks.create_task(self._rounds(), name="rounds")
        finally:
            if self._granting is not None:
                self._granting.cancel()
            await self.observer.close()

    async def _prepare(self) -> None:
        """Read what a reign that begins will act on, now that no other one writes any more.

        :raises RetryLaterError: there is no answer.
        """
        if self.platform is not None:
            note = await self.platform.read_note()
        else:
            note = "" if self._notes is None else self._notes.read()
        await self.writer.grant(())
        self.supervision.begin_anew()
        self.supervision.planning.take_note(note)
        self.teller.begin_anew()
        self.declared_gone.clear()
        if self.hands is not None:
            self.hands.know_note(note)

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
        may_act = self.reign.may_act
        self._note_ring(snapshot)
        self._note_reign(may_act=may_act)
        if may_act:
            self._send_offers(snapshot)
        if not self.writer.is_read:
            return False
        is_free = self._granting is None or self._granting.done()
        decide = self.supervision.decide if may_act and is_free else self.supervision.observe
        self.decision = decide(snapshot)
        self.view_of_cluster = cluster_view(snapshot)
        if not may_act or not is_free:
            return False
        if self.supervision.is_settled:
            self.declared_gone.clear()
        if self.decision.give_up is not None:
            self.observer.give_up(self.decision.give_up.name, self.decision.give_up.disk)
        self.note_plans(snapshot)
        self.teller.tell(snapshot, self.decision)
        note = self.supervision.planning.note
        if self._notes is not None and self.supervision.is_settled:
            self._notes.keep(note)
        if self.hands is not None and snapshot.platform is not None:
            self.hands.want(self.decision.platform, snapshot.platform, note)
        return await self._grant(self.decision.wishes)

    def _note_reign(self, *, may_act: bool) -> None:
        if may_act == self._acted:
            return
        self._acted = may_act
        if self.platform is None:
            return  # On one machine there is one supervisor, and no question who leads.
        name = self._settings.name
        if may_act:
            self.say(Topic.LEADER, f"{name} leads, its reign is number {self.reign.term}")
        else:
            self._log.info("leads no more", name=name)
            if self.hands is not None:
                self.hands.rest()

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
        for offer in self._offering.offers(ring, snapshot):
            self.observer.offer(offer.name, ring, encoded, offer.partitions)

    async def _grant(self, wishes: tuple[Wish, ...]) -> bool:
        """Have the wishes written; rounds wait for that, but not for a store that is away."""
        if not wishes:
            return False
        self._granting = asyncio.create_task(self._granted(wishes), name="grant")
        await asyncio.wait({self._granting}, timeout=self._settings.call_ms / 1000)
        if self._granting.done():
            return self._granting.result()
        self._granting.add_done_callback(lambda _: self.wake())
        return False

    async def _granted(self, wishes: tuple[Wish, ...]) -> bool:
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
        self._note_rates(snapshot)

    def _note_rates(self, snapshot: Snapshot) -> None:
        planning, rates, now_us = self.supervision.planning, self.rates, snapshot.now_us
        plan, where = planning.current, {}
        if plan is None:
            ended = planning.ended.get(rates.plan_id)
            plan, where = (None, {}) if ended is None else (ended.plan, dict(ended.steps))
        elif snapshot.found is not None:
            where = standings(snapshot.found, plan)
        if plan is None or plan.id not in self.estimates:
            return
        steps = sum(each is Standing.DONE for each in where.values())
        size = copied(plan, self.estimates[plan.id], where, snapshot)
        is_frozen = self.decision.judgement.is_frozen
        if planning.current is plan and plan.state is PlanState.RUNNING and not is_frozen:
            rates.note(now_us, plan.id, steps, size)
        else:
            rates.rest(now_us, steps, size)

    def say(self, topic: Topic, sentence: str, member: str = "") -> None:
        """To log and events."""
        self.teller.say(topic, sentence, member)
