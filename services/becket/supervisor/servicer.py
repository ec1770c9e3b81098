"""SupervisorService: what people and tools ask of the supervisor.

Owns the answers, and which wishes a call means. Must not write the ring itself: wishes go to the
same writer as those of the rounds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import grpc

from becket.adapters import clocks
from becket.adapters.rpc.rings import member_to_proto
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import supervisor_pb2_grpc as rpc
from becket.core.errors import (
    FrozenError,
    GiveUpError,
    InvalidInputError,
    NotFoundError,
    RetryLaterError,
    RetryNowError,
)
from becket.core.plans.wishes import PutMember, SetWishes, Wish
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import MAX_MEMBERS
from becket.core.supervision.asking import (
    Question,
    check_room,
    known_member,
    living_member,
    what_if,
)
from becket.core.supervision.counting import taken_back
from becket.core.supervision.declaring import declaration
from becket.core.supervision.planning import Planning, Proposal
from becket.core.supervision.saying import Topic
from becket.core.supervision.status import cluster_view, member_views
from becket.supervisor.answers import (
    Known,
    event_answer,
    member_answer,
    plan_answer,
    plans_answer,
    throttle_answer,
)
from becket.supervisor.cycle import Cycle

Context = grpc.aio.ServicerContext[Any, Any]

RETRY_MS = 200


class SupervisorServicer(rpc.SupervisorServiceServicer):
    """The service."""

    def __init__(self, cycle: Cycle, name: str, *, stream_age_s: float) -> None:
        self._cycle = cycle
        self._name = name
        self._stream_age_s = stream_age_s
        self._stopping = asyncio.Event()

    def end_watches(self) -> None:
        """Let every watch end: its caller opens another one elsewhere."""
        self._stopping.set()

    # Looking

    async def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """How the cluster is."""
        del request, context
        snapshot, cycle = self._cycle.snapshot(), self._cycle
        view, ring = cluster_view(snapshot), cycle.writer.confirmed
        decision = cycle.decision
        sentences = [*view.sentences[:1]] if view.stalled else []
        leader = cycle.reign.leader
        if not cycle.reign.may_act:
            sentences.append(_seen_by(self._name, "" if leader is None else leader.name))
        if cycle.writer.problem:
            sentences.append(f"the topology gives no answer: {cycle.writer.problem}")
        if cycle.reign.problem:
            sentences.append(f"the lead cannot be taken: {cycle.reign.problem}")
        sentences += [said.sentence for said in decision.said]
        sentences += [each for each in view.sentences if each not in sentences]
        for name, problem in sorted(cycle.observer.problems().items()):
            sentences.append(f"{name} is not heard: {problem}")
        sentences += () if cycle.hands is None else cycle.hands.problems
        answer = pb.GetStatusResponse(
            leader="" if leader is None else leader.name,
            partitions=view.partitions,
            whole_partitions=view.whole,
            degraded_partitions=view.degraded,
            stalled_partitions=view.stalled,
            wished_members=view.wished_members,
            alive_members=view.alive_members,
            frozen=decision.judgement.is_frozen,
            sentences=sentences,
            throttle=throttle_answer(cycle.supervision.pacer.view, cycle.rates, snapshot.now_us),
        )
        if ring is not None:
            answer.cluster_id, answer.ring_version = ring.cluster, ring.version
        current = self._planning.current
        if current is not None:
            answer.plan.CopyFrom(self._plan(current.id))
        return answer

    async def ListMembers(  # noqa: N802
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        """Every member."""
        del request, context
        snapshot = self._cycle.snapshot()
        behind_us = clocks.wall_ms() * 1000 - snapshot.now_us
        address_of = self._cycle.directory.address_of
        return pb.ListMembersResponse(
            members=[member_answer(v, address_of, behind_us) for v in member_views(snapshot)],
            ring_version=0 if snapshot.found is None else snapshot.found.version,
        )

    async def WatchEvents(  # noqa: N802
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """What happens, after what is remembered."""
        del context
        age_s = self._stream_age_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads reconnects
        number = request.after_number
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            async with asyncio.timeout(age_s):
                while not self._stopping.is_set():
                    news = asyncio.ensure_future(self._cycle.events.wait_after(number))
                    try:
                        await asyncio.wait({news, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        news.cancel()
                    if not news.done() or news.cancelled():
                        break
                    events = news.result()
                    number = events[-1].number
                    yield pb.WatchEventsResponse(events=[event_answer(event) for event in events])
        except TimeoutError:
            return
        finally:
            stopping.cancel()

    # Members

    async def DrainMember(  # noqa: N802
        self, request: pb.DrainMemberRequest, context: Context
    ) -> pb.DrainMemberResponse:
        """Empty a member."""
        del context
        ring = self._ring()
        member = living_member(ring, request.name)
        if member.state is MemberState.ACTIVE:
            check_room(ring, [member])
            member = replace(member, state=MemberState.DRAINING)
            await self._grant([PutMember(member)])
            self._cycle.say(Topic.MEMBER, f"{member.name} is to be drained, as asked", member.name)
        copies = len(ring.partitions_by_disk[member.disk])
        return pb.DrainMemberResponse(
            member=member_to_proto(member, self._cycle.directory.address_of(member.name)),
            sentences=[
                f"{member.name} holds {copies} copies, which are moved to the other members",
                "it serves what it holds until then, and may be stopped when it holds none",
            ],
        )

    async def UndrainMember(  # noqa: N802
        self, request: pb.UndrainMemberRequest, context: Context
    ) -> pb.UndrainMemberResponse:
        """Take a drain back."""
        del context
        member = known_member(self._ring(), request.name)
        if member.state is MemberState.GONE:
            raise GiveUpError(f"{member.name} is given up: it can only join again")
        if member.state is MemberState.DRAINING:
            member = replace(member, state=MemberState.ACTIVE)
            await self._grant([PutMember(member)])
            self._cycle.say(Topic.MEMBER, f"the drain of {member.name} is taken back", member.name)
        address = self._cycle.directory.address_of(member.name)
        return pb.UndrainMemberResponse(member=member_to_proto(member, address))

    async def SetMemberCount(  # noqa: N802
        self, request: pb.SetMemberCountRequest, context: Context
    ) -> pb.SetMemberCountResponse:
        """Wish for another number of members."""
        del context
        ring = self._ring()
        if not ring.replicas <= request.count <= MAX_MEMBERS:
            raise InvalidInputError("count", f"must be in {ring.replicas}..{MAX_MEMBERS}")
        before = ring.member_count.wished or len(self._cycle.snapshot().wished)
        if ring.member_count.wished != request.count:
            await self._grant(self._counted(ring, request.count))
            sentence = f"{request.count} members are wished for, {before} were before"
            self._cycle.say(Topic.MEMBER, sentence)
        return pb.SetMemberCountResponse(previous_count=before, count=request.count)

    async def DeclareDiskGone(  # noqa: N802
        self, request: pb.DeclareDiskGoneRequest, context: Context
    ) -> pb.DeclareDiskGoneResponse:
        """Take a person's word that a disk is gone."""
        del context
        cycle = self._cycle
        found = declaration(cycle.snapshot(), request.member)
        member = found.member
        answer = pb.DeclareDiskGoneResponse(disk_id=member.disk, sentences=found.sentences)
        if request.confirm not in ("", member.disk):
            raise InvalidInputError("confirm", f"must be the disk of {member.name}: {member.disk}")
        if found.is_given_up:
            answer.declared = True
        elif request.confirm:
            if found.is_awaited:
                cycle.declared_gone.add(member.disk)
                cycle.wake()
            else:
                await self._grant([PutMember(replace(member, state=MemberState.GONE))])
            sentence = f"the disk of {member.name} ({member.disk}) is gone, as a person says"
            cycle.say(Topic.MEMBER, sentence, member.name)
            answer.declared = True
        return answer

    # Plans

    async def PlanRebalance(  # noqa: N802
        self, request: pb.PlanRebalanceRequest, context: Context
    ) -> pb.PlanRebalanceResponse:
        """What a change would do."""
        del context
        ring = self._ring()
        what = what_if(ring, _question(request))
        # Planning takes some 50 ms for a large ring: not in the loop that hears the members.
        plan = await asyncio.to_thread(self._planning.plan_to, ring, what.members, what.reason)
        proposal = Proposal(plan, what.changed, what.member_count, what.joining, what.only_shown)
        self._planning.propose(proposal)
        self._cycle.note_plans(self._cycle.snapshot())
        return pb.PlanRebalanceResponse(plan=self._plan(plan.id, as_proposal=True))

    async def ApplyPlan(  # noqa: N802
        self, request: pb.ApplyPlanRequest, context: Context
    ) -> pb.ApplyPlanResponse:
        """Start a plan."""
        del context
        ring, planning = self._ring(), self._planning
        proposal = planning.proposal_to_start(ring, request.plan_id)
        if proposal is None:
            return pb.ApplyPlanResponse(plan=self._plan(request.plan_id))
        self._check_not_frozen()
        wishes: list[Wish] = [PutMember(member) for member in proposal.changed]
        if proposal.member_count:
            count = ring.member_count.asked(proposal.member_count)
            if count != ring.member_count:
                wishes += self._counted(ring, proposal.member_count)
        if wishes:
            await self._grant(wishes)
        if proposal.joining:
            answer = self._plan(request.plan_id, as_proposal=True)
            names = ", ".join(proposal.joining)
            answer.sentences.insert(0, f"it is made anew and started when {names} have come")
            return pb.ApplyPlanResponse(plan=answer)
        planning.start(self._ring(), proposal)
        self._cycle.say(Topic.PLAN, f"plan {request.plan_id} is started, as asked")
        self._cycle.wake()
        return pb.ApplyPlanResponse(plan=self._plan(request.plan_id))

    async def PausePlan(  # noqa: N802
        self, request: pb.PausePlanRequest, context: Context
    ) -> pb.PausePlanResponse:
        """Begin nothing new."""
        del context
        self._planning.pause(request.plan_id)
        self._cycle.wake()
        return pb.PausePlanResponse(plan=self._plan(request.plan_id))

    async def ResumePlan(  # noqa: N802
        self, request: pb.ResumePlanRequest, context: Context
    ) -> pb.ResumePlanResponse:
        """Go on."""
        del context
        self._planning.resume(request.plan_id)
        self._cycle.wake()
        return pb.ResumePlanResponse(plan=self._plan(request.plan_id))

    async def CancelPlan(  # noqa: N802
        self, request: pb.CancelPlanRequest, context: Context
    ) -> pb.CancelPlanResponse:
        """Take back what has begun."""
        del context
        self._planning.cancel(request.plan_id)
        self._cycle.wake()
        return pb.CancelPlanResponse(plan=self._plan(request.plan_id))

    async def ListPlans(  # noqa: N802
        self, request: pb.ListPlansRequest, context: Context
    ) -> pb.ListPlansResponse:
        """Every plan that is remembered."""
        del request, context
        return pb.ListPlansResponse(plans=plans_answer(self._planning, self._known()))

    async def GetPlan(  # noqa: N802
        self, request: pb.GetPlanRequest, context: Context
    ) -> pb.GetPlanResponse:
        """One plan."""
        del context
        plan_id = request.plan_id
        if not plan_id:
            if self._planning.current is None:
                raise NotFoundError("no plan is under way")
            plan_id = self._planning.current.id
        return pb.GetPlanResponse(plan=self._plan(plan_id))

    # What several calls need

    @property
    def _planning(self) -> Planning:
        return self._cycle.supervision.planning

    def _ring(self) -> Ring:
        ring = self._cycle.writer.confirmed
        if ring is None:
            raise RetryLaterError("there is no ring yet", after_ms=RETRY_MS)
        return ring

    def _known(self) -> Known:
        cycle = self._cycle
        return Known(self._ring(), cycle.snapshot(), cycle.estimates, cycle.rates)

    def _plan(self, plan_id: str, *, as_proposal: bool = False) -> pb.Plan:
        answer = plan_answer(self._planning, plan_id, self._known())
        if answer is None:
            raise NotFoundError(f"there is no plan {plan_id!r}")
        if as_proposal:
            answer.state = pb.PLAN_STATE_PROPOSED
        return answer

    def _check_not_frozen(self) -> None:
        freezes = self._cycle.decision.judgement.freezes
        if freezes:
            raise FrozenError(f"ring changes are frozen: {freezes[0]}")

    def _counted(self, ring: Ring, count: int) -> list[Wish]:
        """The wishes for another count: a larger one takes back what the smaller one began."""
        view = self._cycle.snapshot().platform
        back = () if view is None else taken_back(ring, view, count)
        return [SetWishes(member_count=ring.member_count.asked(count)), *back]

    async def _grant(self, wishes: Sequence[Wish]) -> None:
        granted = await self._cycle.writer.grant(wishes)
        if granted.dropped:
            # The ring was changed at the same time; a second look tells what that means.
            raise RetryNowError(granted.dropped[0].reason)


def _seen_by(name: str, leader: str) -> str:
    """Who tells this, when it is not the one that leads."""
    if leader and leader != name:
        return f"{leader} leads and cannot be reached: this is what {name} sees"
    return f"no supervisor leads, so nothing is changed: this is what {name} sees"


def _question(request: pb.PlanRebalanceRequest) -> Question:
    return Question(
        request.member_count,
        tuple(request.leaving),
        {wish.name: wish.weight for wish in request.weights},
        {wish.name: wish.zone for wish in request.zones},
    )
