"""Whole supervisors on a fake Kubernetes: install, scale, leaders that come and go, an API away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import grpc
import pytest

from becket.api.v1 import supervisor_pb2 as pb
from becket.core.ring.encoding import encode
from becket.core.ring.members import MemberCount, MemberState
from becket.core.supervision import deciding
from tests.unit.adapters.kubernetes.release import BUDGET_PATH, RING_PATH, SET
from tests.unit.supervisor.kubernetes_scene import Office, Scene, installed, supervising

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "CALM_US", 100_000)


def budget(scene: Scene) -> int | None:
    found = scene.api.take(BUDGET_PATH)
    return None if found is None else found["spec"]["maxUnavailable"]


def budgets(scene: Scene) -> Iterator[int]:
    """Each value that the budget has had."""
    for change in scene.api.store.history:
        if change.place.kind == "poddisruptionbudgets" and change.after is not None:
            yield change.after["spec"]["maxUnavailable"]


async def test_an_install_gives_a_ring_of_all_pods_with_their_zones_and_open_gates() -> None:
    async with installed() as scene, supervising(scene) as office:
        ring = await scene.settled(3)
        assert ring.version == 1
        assert ring.member_count == MemberCount(3, 3)
        assert [(m.zone, m.node) for m in ring.members] == [
            (f"zone-{i}", f"node-{i}") for i in range(3)
        ]
        await scene.until(lambda: all(scene.release.gate(i) == "True" for i in range(3)))
        await scene.until(lambda: budget(scene) == 1)
        values = list(budgets(scene))
        assert values[0] == 0, "nobody may be evicted before there is a ring"
        assert [count for count, _ in scene.scales()] == [3]
        await scene.until(lambda: any("the first ring is made" in note for note in scene.notes()))
        status = await office.status()
        assert status.leader == "supervisor-0"
        assert status.whole_partitions == 16
        members = (await office.calls.ListMembers(pb.ListMembersRequest())).members
        assert [m.member.zone for m in members] == ["zone-0", "zone-1", "zone-2"]
        assert [m.member.address for m in members] == [scene.pods[i].address for i in range(3)]


async def test_scale_up_by_the_chart_and_down_by_a_person() -> None:
    async with installed() as scene, supervising(scene) as office:
        await scene.settled(3)
        scene.release.wish("5")
        five = await scene.settled(5)
        assert five.member_count == MemberCount(5, 5)
        await scene.until(lambda: all(scene.release.gate(i) == "True" for i in range(5)))
        answer = await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=3))
        assert (answer.previous_count, answer.count) == (5, 3)
        three = await scene.settled(3)
        assert three.member_count == MemberCount(3, 5), "the chart's value was seen, and stays so"
        await scene.until(lambda: scene.release.replicas == 3)
        for count, ring in scene.scales():
            if count == 3 and ring is not None:
                assert sorted(m.name for m in ring.members) == [f"{SET}-{i}" for i in range(3)]
        assert [count for count, _ in scene.scales()] == [3, 5, 3], "never by single steps"
        await asyncio.sleep(0.2)
        assert scene.release.replicas == 3, "an unchanged chart value changes nothing"
        scene.release.wish("4")
        await scene.settled(4)


async def test_a_chart_that_asks_for_too_few_is_held_back_and_told() -> None:
    async with installed() as scene, supervising(scene) as office:
        await scene.settled(3)
        scene.release.wish("2")
        await scene.until(lambda: office.said("the chart asks for 2 members, 3 copies need"))
        await scene.until(lambda: any("the chart asks for 2" in note for note in scene.notes()))
        assert any("it stays at 3" in each for each in (await office.status()).sentences)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=2))
        assert refused.value.code() is Code.INVALID_ARGUMENT
        ring = scene.ring
        assert ring is not None
        assert ring.member_count.wished == 3
        assert scene.release.replicas == 3


async def test_a_wish_that_goes_up_again_takes_the_drain_back() -> None:
    async with installed(4) as scene, supervising(scene) as office:
        await scene.settled(4)
        for pod in scene.pods.values():
            pod.certifies = False
        await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=3))
        await scene.until(lambda: scene.ring is not None and scene.ring.joint_partitions)
        told = f"the scale to 3 pods waits for {SET}-3: it still has a part in 8 partitions"
        await scene.until(lambda: office.said(told))
        assert any(told in sentence for sentence in (await office.status()).sentences)
        await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        for pod in scene.pods.values():
            pod.certifies = True
            pod.wake()
        ring = await scene.settled(4)
        assert all(member.state is MemberState.ACTIVE for member in ring.members)
        assert [count for count, _ in scene.scales()] == [4]


async def drained_half(scene: Scene, office: Office) -> None:
    """A scale-down whose copies do not come to an end yet."""
    await scene.settled(4)
    for pod in scene.pods.values():
        pod.certifies = False
    await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=3))
    await scene.until(lambda: scene.ring is not None and scene.ring.joint_partitions)


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_the_next_leader_goes_on_in_the_middle_of_a_scale_down(is_orderly: bool) -> None:
    async with (
        installed(4) as scene,
        supervising(scene, "supervisor-a") as one,
        supervising(scene, "supervisor-b") as two,
    ):
        await drained_half(scene, one)
        assert not two.cycle.reign.may_act
        assert (await two.status()).leader == "supervisor-a", "asked of the other one"
        await (one.terminate() if is_orderly else one.kill())
        await scene.until(lambda: two.cycle.reign.may_act)
        await scene.until(lambda: two.said("supervisor-b leads, its reign is number"))
        for pod in scene.pods.values():
            pod.certifies = True
            pod.wake()
        await scene.settled(3)
        await scene.until(lambda: scene.release.replicas == 3)
        assert (await two.status()).leader == "supervisor-b"
        terms = [
            change.after["metadata"]["annotations"]["becket.dev/lease-transitions"]
            for change in scene.api.store.history
            if change.place.name == "becket-ring" and change.after is not None
        ]
        assert all(int(a) <= int(b) for a, b in pairwise(terms))


async def test_a_wish_raised_under_the_next_leader_takes_the_drain_back() -> None:
    async with (
        installed(4) as scene,
        supervising(scene, "supervisor-a") as one,
        supervising(scene, "supervisor-b") as two,
    ):
        await drained_half(scene, one)
        await one.kill()
        await scene.until(lambda: two.cycle.reign.may_act)
        await two.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        for pod in scene.pods.values():
            pod.certifies = True
            pod.wake()
        ring = await scene.settled(4)
        assert all(member.state is MemberState.ACTIVE for member in ring.members)
        assert [count for count, _ in scene.scales()] == [4]


async def test_calls_to_whoever_does_not_lead_reach_the_leader_and_no_farther() -> None:
    async with installed() as scene, supervising(scene, "supervisor-a") as one:
        await scene.settled(3)
        async with supervising(scene, "supervisor-b") as two:
            await scene.until(lambda: two.cycle.reign.leader is not None)
            answer = await two.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
            assert answer.count == 4
            await scene.settled(4)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await two.calls.SetMemberCount(pb.SetMemberCountRequest(count=1))
            assert refused.value.code() is Code.INVALID_ARGUMENT, "an error comes back as it was"
            events = two.calls.WatchEvents(pb.WatchEventsRequest())
            first = (await anext(aiter(events))).events
            assert any(event.kind == pb.EVENT_KIND_LEADER for event in first)
            events.cancel()
            forwarded = (("becket-forwarded", "1"),)
            request = pb.SetMemberCountRequest(count=5)
            with pytest.raises(grpc.aio.AioRpcError) as bounced:
                await two.calls.SetMemberCount(request, metadata=forwarded)
            assert bounced.value.code() is Code.UNAVAILABLE
            await one.kill()
            with pytest.raises(grpc.aio.AioRpcError) as nobody:
                await two.calls.SetMemberCount(pb.SetMemberCountRequest(count=5))
            assert nobody.value.code() is Code.UNAVAILABLE
            assert (await two.status()).whole_partitions == 16, "looking is always possible"


async def test_while_the_api_is_away_nothing_changes_and_status_says_so() -> None:
    async with installed() as scene, supervising(scene) as office:
        ring = await scene.settled(3)
        await scene.until(lambda: budget(scene) == 1)
        await scene.api.stop()
        writes = scene.api.store.version
        await scene.until(lambda: not office.cycle.reign.may_act)
        status = await office.status()
        assert any("the Kubernetes API tells nothing" in each for each in status.sentences)
        assert any("no supervisor leads" in each for each in status.sentences)
        assert status.alive_members == 3
        scene.pods[2].suspect("disk-of-nobody")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        assert refused.value.code() is Code.UNAVAILABLE
        await asyncio.sleep(0.3)
        assert (await office.status()).whole_partitions == 16, "members are heard all the time"
        changed = [c.place for c in scene.api.store.history if c.version > writes]
        assert {place.kind for place in changed} <= {"pods"}, "only the kubelet's part of it"
        await scene.api.start()
        await scene.until(lambda: office.cycle.reign.may_act)
        assert scene.ring == ring
        await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        await scene.settled(4)


async def test_a_ring_object_deleted_by_hand_is_restored_to_the_letter() -> None:
    async with installed() as scene, supervising(scene) as office:
        ring = await scene.settled(3)
        await scene.until(lambda: all(pod.ring == ring for pod in scene.pods.values()))
        scene.api.remove(RING_PATH)
        await scene.until(lambda: office.said("exactly that is restored"))
        assert await scene.settled(3) == ring
        await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        await scene.settled(4)


async def test_members_of_the_highest_ring_are_started_before_it_is_restored() -> None:
    async with installed(5) as scene:
        async with supervising(scene):
            ring = await scene.settled(5)
            await scene.until(lambda: all(pod.ring == ring for pod in scene.pods.values()))
        # Uninstalled, the object deleted, and installed again with a smaller count.
        scene.api.remove(RING_PATH)
        scene.release.wish("3")
        set_path = "/apis/apps/v1/namespaces/ns/statefulsets/becket-storage"
        scene.api.put(
            set_path,
            {
                **scene.release.stateful_set,
                "spec": {**scene.release.stateful_set["spec"], "replicas": 1},
            },
        )
        await scene.until(lambda: len(scene.pods) == 1)
        async with supervising(scene, "supervisor-1") as office:
            await scene.until(lambda: office.said("exactly that is restored"))
            # Then the chart's value counts, since it has changed.
            await scene.settled(3)
            await scene.until(lambda: scene.release.replicas == 3)
            assert encode(ring)


async def test_a_pod_that_is_replaced_opens_its_gate_when_all_is_whole_again() -> None:
    async with installed() as scene, supervising(scene) as office:
        await scene.settled(3)
        await scene.until(lambda: budget(scene) == 1)
        scene.held.add(1)
        for ordinal in (0, 2):
            scene.pods[ordinal].suspect(scene.pods[1].disk)
        await scene.stop(1)
        await scene.until(lambda: budget(scene) == 0)
        sentences = (await office.status()).sentences
        assert any(f"as {SET}-1 is not alive and level" in each for each in sentences)
        scene.held.clear()
        await scene.until(lambda: 1 in scene.pods)
        await asyncio.sleep(0.2)
        assert scene.release.gate(1) == "", "the others do not hear it yet"
        assert scene.release.gate(0) == "True", "never taken back"
        for ordinal in (0, 2):
            scene.pods[ordinal].suspect()
        await scene.until(lambda: scene.release.gate(1) == "True")
        await scene.until(lambda: budget(scene) == 1)


async def test_a_pod_on_an_empty_volume_is_replaced_at_once() -> None:
    async with installed(4) as scene, supervising(scene) as office:
        await scene.settled(4)
        old = scene.pods[1].disk
        scene.held.add(1)
        for ordinal in (0, 2, 3):
            scene.pods[ordinal].suspect(old)
        await scene.stop(1)
        await scene.start(1, wiped=True)
        scene.held.clear()
        await scene.until(lambda: scene.ring is not None and old not in scene.ring.by_disk)
        await scene.settled(4)
        await scene.until(lambda: scene.release.gate(1) == "True")
        assert office.said(f"the volume of {SET}-1 is gone: it is replaced")


async def test_a_disk_that_is_declared_gone_is_replaced_at_once() -> None:
    async with installed(4) as scene, supervising(scene) as office:
        await scene.settled(4)
        old = scene.pods[3].disk
        request = pb.DeclareDiskGoneRequest(member=f"{SET}-3")
        with pytest.raises(grpc.aio.AioRpcError) as heard:
            await office.calls.DeclareDiskGone(request)
        assert heard.value.code() is Code.FAILED_PRECONDITION
        scene.held.add(3)
        for ordinal in range(3):
            scene.pods[ordinal].suspect(old)
        await scene.stop(3)
        await scene.until(lambda: office.said(f"{SET}-3 is dead and will be replaced"))
        told = await office.calls.DeclareDiskGone(request)
        assert (told.disk_id, told.declared) == (old, False)
        assert any("should the disk come back" in sentence for sentence in told.sentences)
        request.confirm = "another-disk"
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await office.calls.DeclareDiskGone(request)
        assert wrong.value.code() is Code.INVALID_ARGUMENT
        request.confirm = old
        assert (await office.calls.DeclareDiskGone(request)).declared
        assert (await office.calls.DeclareDiskGone(request)).declared
        await scene.until(lambda: scene.ring is not None and old not in scene.ring.by_disk)
        scene.volumes.pop(3)
        scene.held.clear()
        await scene.settled(4)


async def test_a_ring_is_restored_without_a_disk_that_is_declared_gone() -> None:
    async with installed(4) as scene:
        async with supervising(scene):
            ring = await scene.settled(4)
            await scene.until(lambda: all(pod.ring == ring for pod in scene.pods.values()))
        scene.api.remove(RING_PATH)
        scene.held.add(3)
        lost = scene.pods[3].disk
        await scene.stop(3)
        for ordinal in range(3):
            scene.pods[ordinal].suspect(lost)
        async with supervising(scene, "supervisor-1") as office:
            await scene.until(lambda: office.said(f"missing: {SET}-3 ({lost})"))
            assert not scene.has_ring
            request = pb.DeclareDiskGoneRequest(member=lost, confirm=lost)
            told = await office.calls.DeclareDiskGone(request)
            assert told.declared
            assert any("may be lost" in sentence for sentence in told.sentences)
            restored = await scene.until(lambda: scene.ring)
            assert restored.version == ring.version


async def test_a_pause_survives_its_supervisor() -> None:
    few = {"partitions": 2, "copies_per_member": 2}
    async with installed() as scene, supervising(scene, "supervisor-a", plan=few) as one:
        await scene.settled(3)
        for pod in scene.pods.values():
            pod.certifies = False
        scene.release.wish("4")
        await scene.until(lambda: scene.ring is not None and scene.ring.joint_partitions)
        plan = (await one.calls.GetPlan(pb.GetPlanRequest())).plan
        await one.calls.PausePlan(pb.PausePlanRequest(plan_id=plan.plan_id))
        await scene.until(lambda: (kept_note(scene) or "").startswith("paused "))
        await one.kill()
        for pod in scene.pods.values():
            pod.certifies = True
            pod.wake()
        async with supervising(scene, "supervisor-b") as two:
            await scene.until(lambda: two.cycle.supervision.planning.current is not None)
            await scene.until(lambda: scene.ring is not None and not scene.ring.joint_partitions)
            plan = (await two.calls.GetPlan(pb.GetPlanRequest())).plan
            assert plan.state == pb.PLAN_STATE_PAUSED
            await two.calls.ResumePlan(pb.ResumePlanRequest(plan_id=plan.plan_id))
            await scene.settled(4)
            await scene.until(lambda: kept_note(scene) == "")


def kept_note(scene: Scene) -> str:
    annotations = scene.release.taken(RING_PATH)["metadata"]["annotations"]
    return str(annotations.get("becket.dev/plan", ""))


async def test_missing_rights_are_told_and_change_nothing() -> None:
    async with installed() as scene:
        scene.api.forbidden = {
            ("update", "statefulsets/scale"),
            ("create", "poddisruptionbudgets"),
            ("patch", "pods/status"),
        }
        async with supervising(scene) as office:
            wanted = "the scale: this process may not update statefulsets/scale"
            await scene.until(lambda: any(wanted in p for p in office.cycle.hands.problems))  # type: ignore[union-attr]
            sentences = (await office.status()).sentences
            assert any(wanted in sentence for sentence in sentences)
            assert any("may not create poddisruptionbudgets" in each for each in sentences)
            scene.api.forbidden.clear()
            await scene.settled(3)
