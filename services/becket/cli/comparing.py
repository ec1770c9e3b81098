"""``becket ring compare``: one change under three schemes, measured on the keys that are there.

Owns the JSON form and the listing of keys. Must not place anything: ours is the supervisor's plan,
the other schemes are in ``core.placement.comparison``. Nothing is changed; the plan is proposed, as
by ``becket plan``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, TypedDict

from becket.api.v1 import ring_pb2, types_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.cli import plans
from becket.cli.calling import Services
from becket.cli.members import by_number
from becket.cli.rings import new_names
from becket.cli.store import Range, Store
from becket.core import hashing
from becket.core.errors import NotAppliedError
from becket.core.placement.comparison import (
    VIRTUAL_NODES,
    ModN,
    Scheme,
    Table,
    Tally,
    VirtualNodes,
)

TRIES = 3
"""So often ring and plan are asked for until they belong together."""

BATCH = 10_000
OURS, MOD = "becket", "hash mod n"
NODES = f"{VIRTUAL_NODES} virtual nodes"


class SchemeRow(TypedDict):
    """What a scheme moves. Shares are of all copies, and of all keys; 1.0 is all.

    ``fullest``: copies on the fullest member afterwards, over the mean.
    """

    scheme: str
    moved_copies: int
    moved_share: float
    touched_keys: int
    touched_share: float
    fullest: float


class ComparisonRow(TypedDict):
    """One change on the live keys. ``more_keys``: there are keys beyond the limit."""

    reason: str
    plan_id: str
    ring_version: int
    replicas: int
    members_before: int
    members_after: int
    keys: int
    more_keys: bool
    schemes: list[SchemeRow]


class Change(NamedTuple):
    """So many members more, and some less."""

    joining: int
    leaving: Sequence[str]


class Keys(NamedTuple):
    """The keys to measure on: the first ``limit`` ones that begin so."""

    prefix: bytes
    limit: int


async def compare(services: Services, store: Store, change: Change, keys: Keys) -> ComparisonRow:
    """Measure one change under the three schemes.

    :raises NotAppliedError: there is no key, or the ring changes while it is looked at.
    """
    ring, plan = await _ring_and_plan(services, change)
    alive = [m for m in ring.members if m.state != types_pb2.MEMBER_STATE_GONE]
    before = sorted((member.name for member in alive), key=by_number)
    stay = {m.name for m in alive if m.state == types_pb2.MEMBER_STATE_ACTIVE} - {*change.leaving}
    after = [name for name in before if name in stay]
    after += new_names([member.name for member in ring.members], change.joining)
    present, wished = _tables(ring, plan)
    schemes: dict[str, tuple[Scheme, Scheme]] = {
        OURS: (present, wished),
        NODES: (VirtualNodes(before, ring.replicas), VirtualNodes(after, ring.replicas)),
        MOD: (ModN(before, ring.replicas), ModN(after, ring.replicas)),
    }
    tallies = {name: Tally(old, new, len(after)) for name, (old, new) in schemes.items()}
    count, is_more = 0, False
    async for slots in _slots(store, keys):
        is_more = count + len(slots) > keys.limit
        used = slots[: keys.limit - count]
        count += len(used)
        for tally in tallies.values():
            tally.note(used)
    if not count:
        raise NotAppliedError("there are no such keys, so there is nothing to measure on")
    return ComparisonRow(
        reason=plan.reason,
        plan_id=plan.plan_id,
        ring_version=ring.version,
        replicas=ring.replicas,
        members_before=len(before),
        members_after=len(after),
        keys=count,
        more_keys=is_more,
        schemes=[_row(name, tally) for name, tally in tallies.items()],
    )


async def _ring_and_plan(services: Services, change: Change) -> tuple[types_pb2.Ring, pb.Plan]:
    for _ in range(TRIES):
        asked = plans.Change(add=change.joining, drain=change.leaving)
        plan = await plans.make(services, asked)
        ring = (await services.ask(services.ring.GetRing, ring_pb2.GetRingRequest())).ring
        if ring.version == plan.ring_version:
            return ring, plan
    raise NotAppliedError("the ring is changing at this moment: ask again when it is at rest")


def _tables(ring: types_pb2.Ring, plan: pb.Plan) -> tuple[Table, Table]:
    """Who holds each partition now, a change under way counted as done, and who then."""
    names = {member.disk_id: member.name for member in ring.members}
    now = [
        [names.get(disk, disk) for disk in config.new_disk_ids or config.old_disk_ids]
        for config in sorted(ring.partitions, key=lambda config: config.partition)
    ]
    then = [*now]
    for step in plan.steps:
        then[step.partition] = [*step.to_members]
    return Table(now), Table(then)


async def _slots(store: Store, keys: Keys) -> AsyncIterator[list[int]]:
    """The slots of the keys, in batches; of one key more than the limit at most."""
    batch: list[bytes] = []
    count = 0
    async for found in store.scan(Range(keys.prefix, keys_only=True)):
        batch.append(found.key)
        count += 1
        if count > keys.limit:
            break
        if len(batch) == BATCH:
            yield hashing.slots(batch)
            batch = []
    if batch:
        yield hashing.slots(batch)


def _row(name: str, tally: Tally) -> SchemeRow:
    found = tally.moved
    return SchemeRow(
        scheme=name,
        moved_copies=found.moved,
        moved_share=found.moved / found.copies,
        touched_keys=found.touched,
        touched_share=found.touched / found.keys,
        fullest=found.fullest,
    )


COLUMNS = ("SCHEME", "COPIES MOVED", "%", "KEYS TOUCHED", "%", "FULLEST/MEAN")


def rows(found: ComparisonRow) -> list[tuple[object, ...]]:
    """The schemes under their columns."""
    return [
        (
            row["scheme"],
            *(row["moved_copies"], 100 * row["moved_share"]),
            *(row["touched_keys"], 100 * row["touched_share"]),
            f"{row['fullest']:.3f}",
        )
        for row in found["schemes"]
    ]


def lines(found: ComparisonRow) -> list[str]:
    """What was measured, for a person."""
    first = "the first " if found["more_keys"] else ""
    change = f"{found['members_before']} to {found['members_after']} members"
    return [
        f"{found['reason']}: {change}",
        f"measured on {first}{found['keys']:,} keys, {found['replicas']} copies of each",
    ]
