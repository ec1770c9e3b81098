"""The ring, for a person and for scripts: what it is, where a key is, and why.

Owns the JSON forms of ``becket ring``. Must not compute a placement: RingService does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from becket.api.v1 import ring_pb2, types_pb2
from becket.cli.calling import Services
from becket.cli.members import by_number


class LocateRow(TypedDict):
    """Where a key is; names of members. ``coordinator`` is null where nobody is known."""

    partition: int
    coordinator: str | None
    replicas: list[str]


class PartitionRow(TypedDict):
    """One partition. ``joining`` holds the future replicas while a change is under way."""

    partition: int
    generation: int
    replicas: list[str]
    joining: list[str] | None
    coordinator: str | None


class RingMemberRow(TypedDict):
    """A member of the ring."""

    name: str
    disk: str
    state: str
    zone: str
    weight: int
    partitions: int
    coordinating: int


class RingRow(TypedDict):
    """The whole ring."""

    cluster: str
    version: int
    replicas: int
    members: list[RingMemberRow]
    partitions: list[PartitionRow]


class ExplainRow(TypedDict):
    """Why a key is where it is."""

    slot: int
    partition: int
    replicas: list[str]
    replicas_after: list[str]
    moved_copies: int
    sentences: list[str]


async def locate(services: Services, key: bytes) -> LocateRow:
    """Where a key is."""
    found = await services.ask(services.ring.Locate, ring_pb2.LocateRequest(key=key))
    return LocateRow(
        partition=found.partition,
        coordinator=found.coordinator.name if found.HasField("coordinator") else None,
        replicas=[member.name for member in found.replicas],
    )


async def explain(
    services: Services, key: bytes, *, joining: int, leaving: Sequence[str]
) -> ExplainRow:
    """Why a key is where it is, and where with so many more members, or without some."""
    request = ring_pb2.ExplainRequest(key=key, leaving=leaving)
    if joining:
        ring = await services.ask(services.ring.GetRing, ring_pb2.GetRingRequest())
        members = ring.ring.members
        zones = Counter(m.zone for m in members if m.state != types_pb2.MEMBER_STATE_GONE)
        for name in new_names([member.name for member in members], joining):
            # Whoever starts members deals them out over the zones.
            zone = min(sorted(zones), key=lambda each: zones[each], default="")
            zones[zone] += 1
            request.joining.add(name=name, zone=zone)
    found = await services.ask(services.ring.Explain, request)
    return ExplainRow(
        slot=found.slot,
        partition=found.partition,
        replicas=[member.name for member in found.replicas],
        replicas_after=[member.name for member in found.replicas_after],
        moved_copies=found.moved_copies,
        sentences=[*found.sentences],
    )


def new_names(taken: Sequence[str], count: int) -> list[str]:
    """Names that so many new members would have: the numbers go on."""
    numbers = [int(name.rpartition("-")[2]) for name in taken if name.rpartition("-")[2].isdigit()]
    first = max(numbers, default=-1) + 1
    return [f"storage-{number}" for number in range(first, first + count)]


async def ring(services: Services) -> RingRow:
    """The whole ring."""
    answer = await services.ask(services.ring.GetRing, ring_pb2.GetRingRequest())
    names = {member.disk_id: member.name for member in answer.ring.members}
    coordinators = {each.partition: each.name for each in answer.coordinators}
    holding: Counter[str] = Counter()
    for config in answer.ring.partitions:
        holding.update({*config.old_disk_ids, *config.new_disk_ids})
    coordinating = Counter(each.epoch.disk_id for each in answer.coordinators)
    return RingRow(
        cluster=answer.ring.cluster_id,
        version=answer.ring.version,
        replicas=answer.ring.replicas,
        members=[
            RingMemberRow(
                name=member.name,
                disk=member.disk_id,
                state=types_pb2.MemberState.Name(member.state).rpartition("_")[2].lower(),
                zone=member.zone,
                weight=member.weight,
                partitions=holding[member.disk_id],
                coordinating=coordinating[member.disk_id],
            )
            for member in sorted(answer.ring.members, key=lambda member: by_number(member.name))
        ],
        partitions=[
            PartitionRow(
                partition=config.partition,
                generation=config.generation,
                replicas=[names.get(disk, disk) for disk in config.old_disk_ids],
                joining=[names.get(disk, disk) for disk in config.new_disk_ids] or None,
                coordinator=coordinators.get(config.partition),
            )
            for config in answer.ring.partitions
        ],
    )
