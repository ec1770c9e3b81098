"""``becket ring compare``: what is asked, what is measured, and what it says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from becket.api.v1 import ring_pb2, types_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.cli.store import Item
from becket.core import hashing
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_services import Context, FakeRing, FakeSupervisor, member, serving
from tests.unit.cli.fake_store import FakeStore

PARTITIONS = 16
KEYS = [b"k%d" % number for number in range(3000)]


def a_ring() -> types_pb2.Ring:
    """Four members; partition p is on members p and p + 1, but that 3 is on its way."""
    configs = [
        types_pb2.Config(
            partition=p,
            generation=1,
            old_disk_ids=[f"disk-{p % 4}", f"disk-{(p + 1) % 4}"],
        )
        for p in range(PARTITIONS)
    ]
    configs[3].new_disk_ids[:] = ["disk-3", "disk-1"]
    return types_pb2.Ring(
        cluster_id="test-1",
        version=7,
        replicas=2,
        members=[member(number) for number in range(4)],
        partitions=reversed(configs),
    )


class Rings(FakeRing):
    """Answers with that ring."""

    def GetRing(  # noqa: N802
        self, request: ring_pb2.GetRingRequest, context: Context
    ) -> ring_pb2.GetRingResponse:
        del request, context
        return ring_pb2.GetRingResponse(ring=a_ring())


class Supervisor(FakeSupervisor):
    """Plans that partitions 0 and 3 get storage-4 in place of their first member."""

    version = 7
    asked: pb.PlanRebalanceRequest | None = None
    times = 0

    def PlanRebalance(  # noqa: N802
        self, request: pb.PlanRebalanceRequest, context: Context
    ) -> pb.PlanRebalanceResponse:
        del context
        self.asked, self.times = request, self.times + 1
        steps = [
            pb.PlanStep(partition=p, from_members=[f"storage-{p}", "storage-1"], to_members=to)
            for p, to in ((0, ["storage-4", "storage-1"]), (3, ["storage-4", "storage-1"]))
        ]
        plan = pb.Plan(plan_id="plan-7-a", ring_version=self.version, reason="one joins")
        plan.steps.extend(steps)
        return pb.PlanRebalanceResponse(plan=plan)


@pytest.fixture
def supervisor() -> Supervisor:
    fake = Supervisor()  # type: ignore[abstract]  # the rest is not asked for
    fake.status = pb.GetStatusResponse(wished_members=4)
    return fake


@pytest.fixture
def target(supervisor: Supervisor) -> Iterator[str]:
    with serving(Rings(), supervisor) as address:  # type: ignore[abstract]
        yield address


@pytest.fixture
async def filled(store: FakeStore) -> FakeStore:
    for key in KEYS:
        await store.put(Item(key, b"v"))
    return store


def test_a_change_is_measured_on_the_live_keys(
    run: Run, target: str, supervisor: Supervisor, filled: FakeStore
) -> None:
    del filled
    result = run("ring", "compare", "--with", "1", "--target", target, "-o", "json")
    assert result.exit_code == 0, result.output
    assert supervisor.asked is not None
    assert supervisor.asked.member_count == 5
    found = json.loads(result.stdout)
    schemes = {row.pop("scheme"): row for row in found.pop("schemes")}
    assert found == {
        "reason": "one joins",
        "plan_id": "plan-7-a",
        "ring_version": 7,
        "replicas": 2,
        "members_before": 4,
        "members_after": 5,
        "keys": 3000,
        "more_keys": False,
    }
    moved = sum(hashing.partition_of(key, PARTITIONS) in (0, 3) for key in KEYS)
    ours = schemes["becket"]
    assert (ours["moved_copies"], ours["touched_keys"]) == (moved, moved)
    assert ours["moved_share"] == pytest.approx(moved / 6000)
    assert 1.0 < ours["fullest"] < 2.0
    # With 4 and 5 members a key stays where its hash has nearly the same rest by both.
    assert schemes["hash mod n"]["moved_share"] > 0.5
    assert 0.1 < schemes["128 virtual nodes"]["moved_share"] < 0.3
    assert list(schemes) == ["becket", "128 virtual nodes", "hash mod n"]


def test_who_leaves_and_the_table(
    run: Run, target: str, supervisor: Supervisor, filled: FakeStore
) -> None:
    del filled
    options = ("--without", "storage-0", "--limit", "1000", "--target", target)
    result = run("ring", "compare", *options)
    assert result.exit_code == 0, result.output
    assert supervisor.asked is not None
    assert list(supervisor.asked.leaving) == ["storage-0"]
    lines = result.stdout.splitlines()
    assert lines[0] == "one joins: 4 to 3 members"
    assert lines[1] == "measured on the first 1,000 keys, 2 copies of each"
    assert lines[2].split() == [
        *("SCHEME", "COPIES", "MOVED", "%", "KEYS", "TOUCHED", "%", "FULLEST/MEAN")
    ]
    assert [line.split("  ")[0] for line in lines[3:]] == [
        *("becket", "128 virtual nodes", "hash mod n")
    ]


@pytest.mark.parametrize(("limit", "more"), [(2999, True), (3000, False)])
def test_the_limit_is_exact(
    run: Run, target: str, filled: FakeStore, limit: int, *, more: bool
) -> None:
    del filled
    options = ("--with", "1", "--limit", str(limit), "--target", target, "-o", "json")
    found = json.loads(run("ring", "compare", *options).stdout)
    assert (found["keys"], found["more_keys"]) == (limit, more)


def test_without_a_change_without_keys_and_with_a_ring_that_changes(
    run: Run, target: str, supervisor: Supervisor, store: FakeStore
) -> None:
    result = run("ring", "compare", "--target", target)
    assert (result.exit_code, supervisor.times) == (2, 0)
    assert "--with N, --without MEMBER" in result.stderr
    assert not store.opened
    result = run("ring", "compare", "--with", "1", "--target", target)
    assert result.exit_code == 3
    assert "nothing to measure on" in result.stderr
    supervisor.version = 6
    supervisor.times = 0
    result = run("ring", "compare", "--with", "1", "--target", target)
    assert (result.exit_code, supervisor.times) == (3, 3)
    assert "the ring is changing" in result.stderr
