"""What a person wants of a cluster: another number of members, a member emptied, a disk given up.

Owns the calls that change something through SupervisorService, and the waiting for what they lead
to. Every one of them may be repeated, so it is, while no supervisor leads. Must not move anything:
the supervisor does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import grpc

from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import types_pb2
from becket.cli.calling import Call, Services, told
from becket.cli.exits import UnfinishedError
from becket.cli.members import status
from becket.core.errors import BecketError, OutcomeUnknownError

WISH_S = 30.0
"""Another supervisor leads well within this time."""

LOOK_S = 0.5
_CALL_S = 5.0
_PAUSE_S = 0.3
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Step = Callable[[Services], Awaitable[str]]
"""What is still missing, as a sentence; empty when it is done."""


async def wish(services: Services, call: Call[Request, Answer], request: Request) -> Answer:
    """The answer to a call that may be repeated, from whoever leads by then.

    :raises UnreachableError: nobody answered in ``WISH_S``.
    :raises OutcomeUnknownError: the last attempt was not answered in time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + WISH_S
    while True:
        try:
            return await call(request, timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AGAIN or loop.time() + _PAUSE_S > until:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    problem = "there was no answer in time; to ask once more is harmless"
                    raise OutcomeUnknownError(problem) from error
                raise told(error, services.target) from error
        await asyncio.sleep(_PAUSE_S)


async def scale(services: Services, count: int) -> list[str]:
    """Wish for so many members; what follows, as sentences."""
    request = pb.SetMemberCountRequest(count=count)
    answer = await wish(services, services.supervisor.SetMemberCount, request)
    before = answer.previous_count
    if before == answer.count:
        return [f"{answer.count} members were wished for already"]
    then = "members are drained before they are removed" if count < before else "members join"
    return [f"{answer.count} members are wished for, {before} were before: {then}"]


async def drain(services: Services, name: str) -> list[str]:
    """Have a member emptied; what follows, as sentences."""
    request = pb.DrainMemberRequest(name=name)
    answer = await wish(services, services.supervisor.DrainMember, request)
    return [*answer.sentences]


async def undrain(services: Services, name: str) -> list[str]:
    """Take a drain back; what follows, as sentences."""
    request = pb.UndrainMemberRequest(name=name)
    answer = await wish(services, services.supervisor.UndrainMember, request)
    return [f"{answer.member.name} is given copies again"]


def scaled(count: int) -> Step:
    """Done when so many members hold everything, and nobody else holds anything."""

    async def missing(services: Services) -> str:
        found = await services.ask(services.supervisor.ListMembers, pb.ListMembersRequest())
        holding = [each for each in found.members if _holds(each)]
        active = [
            each.member.name
            for each in holding
            if each.member.state == types_pb2.MEMBER_STATE_ACTIVE
            and each.liveness == pb.LIVENESS_ALIVE
        ]
        if len(active) != count or len(holding) != count:
            leaving = len(holding) - len(active)
            return f"{len(active)} members of {count} are active, {leaving} others hold copies"
        return await _whole(services)

    return missing


def drained(name: str) -> Step:
    """Done when the member holds no copy any more."""

    async def missing(services: Services) -> str:
        found = await services.ask(services.supervisor.ListMembers, pb.ListMembersRequest())
        copies = sum(each.partitions for each in found.members if each.member.name == name)
        return f"{name} still holds {copies} copies" if copies else ""

    return missing


def _holds(found: pb.MemberStatus) -> bool:
    is_gone = found.member.state == types_pb2.MEMBER_STATE_GONE
    return found.partitions > 0 or (
        not is_gone and found.member.state != types_pb2.MEMBER_STATE_DRAINING
    )


async def _whole(services: Services) -> str:
    now = await status(services)
    if now["plan"] is not None and now["plan"]["state"] == "running":
        return f"plan {now['plan']['plan_id']} is under way"
    if now["whole"] != now["partitions"]:
        return f"{now['whole']} of {now['partitions']} partitions are whole"
    return ""


async def until_done(
    services: Services, missing: Step, within_s: float, tell: Callable[[str], None]
) -> None:
    """Wait until nothing is missing; tell whatever changes.

    :raises UnfinishedError: something still is; what was wished for goes on.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    last = ""
    while True:
        try:
            now = await missing(services)
        except BecketError as error:
            now = str(error)
        if not now:
            return
        if now != last:
            tell(now)
            last = now
        if loop.time() + LOOK_S > until:
            raise UnfinishedError(f"not done within {within_s:g} s: {now}")
        await asyncio.sleep(LOOK_S)


async def waits_for(services: Services) -> list[str]:
    """What the supervisor says of the ring, the most important first."""
    found = await status(services)
    if found["cluster"]:
        first = f"the ring of cluster {found['cluster']} is there, version {found['ring_version']}"
        return [first, *found["sentences"]]
    return ["there is no ring", *found["sentences"]]


class Declaration(NamedTuple):
    """What it means to give up a disk. ``sentences``: what follows and what is at risk."""

    disk: str
    is_declared: bool
    sentences: list[str]


async def declare_gone(services: Services, member: str, confirmed: str = "") -> Declaration:
    """Give up the disk of a member, for ever; without ``confirmed``, its id, only tell."""
    request = pb.DeclareDiskGoneRequest(member=member, confirm=confirmed)
    answer = await wish(services, services.supervisor.DeclareDiskGone, request)
    return Declaration(answer.disk_id, answer.declared, [*answer.sentences])
