"""What runs storage, as the API tells of it, and the hands on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from becket.adapters.kubernetes import pods as pods_module
from becket.adapters.kubernetes import storage_classes
from becket.adapters.kubernetes.platform import KubernetesPlatform
from becket.core.supervision.pods import Claim, Node, PlatformView
from becket.ports.platform import PlatformError
from tests.unit.adapters.kubernetes.fake_api import (
    NAMESPACE,
    FakeApi,
    access_to,
    settings_for,
    until,
)
from tests.unit.adapters.kubernetes.fake_store import Json
from tests.unit.adapters.kubernetes.release import (
    BUDGET_PATH,
    GATE,
    RING_PATH,
    ROOT,
    SET,
    SET_PATH,
    WISH_PATH,
    Release,
)


class Watching:
    """A platform that follows the API, and the means to wait for what it shows."""

    def __init__(self, platform: KubernetesPlatform) -> None:
        self.platform = platform
        self.changes = 0

    def note(self) -> None:
        self.changes += 1

    def view(self) -> PlatformView:
        return self.platform.view(1)

    async def shows(self, condition: Callable[[PlatformView], object]) -> PlatformView:
        await until(lambda: condition(self.view()))
        return self.view()

    async def tells(self, text: str) -> None:
        await until(lambda: any(text in problem for problem in self.view().problems))


@asynccontextmanager
async def following(api: FakeApi, **settings: Any) -> AsyncIterator[Watching]:  # noqa: ANN401
    async with access_to(api, settings_for(**settings)) as access:
        watching = Watching(KubernetesPlatform(access, "supervisor-0", rng=random.Random(1)))
        task = asyncio.create_task(watching.platform.run(watching.note))
        try:
            await watching.shows(lambda view: view.is_current)
            yield watching
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as made:
        yield made


@pytest.fixture
def release(api: FakeApi) -> Release:
    made = Release(api)
    made.install()
    for ordinal in range(3):
        made.node(f"node-{ordinal}", f"zone-{ordinal}")
        made.pod(ordinal, f"10.0.0.{ordinal}", node=f"node-{ordinal}", ready=True)
        made.claim(ordinal)
    return made


# Looking


async def test_pods_are_where_the_api_says(api: FakeApi, release: Release) -> None:
    async with following(api) as watching:
        view = await watching.shows(
            lambda v: len(v.pods) == 3 and all(p.zone is not None for p in v.pods) and v.claims
        )
        assert view.stem == f"{SET}-"
        assert (view.chart_count, view.scale, view.problems) == (3, 1, ())
        assert view.claims == {f"{SET}-{i}": Claim.BOUND for i in range(3)}
        one = view.pod(f"{SET}-1")
        assert one is not None
        assert (one.address, one.node, one.zone) == ("10.0.0.1:7400", "node-1", "zone-1")
        assert one.is_ready
        assert not one.is_whole
        assert one.node_state is Node.READY
        platform = watching.platform
        assert platform.address_of(f"{SET}-2") == "10.0.0.2:7400"
        assert platform.address_of(f"{SET}-9") is None
        assert platform.places("storage")[f"{SET}-0"].zone == "zone-0"
        assert platform.places("router") == {}

        release.remove_pod(1)
        await watching.shows(lambda v: len(v.pods) == 2)
        assert platform.address_of(f"{SET}-1") is None
        release.pod(1, "10.0.7.7", node="node-0")
        view = await watching.shows(lambda v: len(v.pods) == 3)
        again = view.pod(f"{SET}-1")
        assert again is not None
        assert (again.address, again.zone) == ("10.0.7.7:7400", "zone-0")
        assert again.uid != one.uid
        assert again.unready_since_us == 1
        release.ready(1)
        await watching.shows(lambda v: all(p.unready_since_us is None for p in v.pods))


async def test_pods_of_others_are_no_members(api: FakeApi, release: Release) -> None:
    labels = release.taken(f"{ROOT}/pods/{SET}-0")["metadata"]["labels"]
    for name, owner in ((f"{SET}-7", "another"), (f"other-{SET}-1", SET)):
        owners = [{"kind": "StatefulSet", "name": owner, "uid": "u"}]
        body = {"metadata": {"labels": labels, "ownerReferences": owners}, "status": {}}
        api.put(f"{ROOT}/pods/{name}", body)
    async with following(api) as watching:
        view = await watching.shows(lambda v: v.pods)
        assert [pod.name for pod in view.pods] == [f"{SET}-{i}" for i in range(3)]


async def test_an_address_of_version_six_has_brackets_and_an_ended_pod_has_none(
    api: FakeApi, release: Release
) -> None:
    release.pod(0, "fd00::7", node="node-0")
    pod = release.taken(f"{ROOT}/pods/{SET}-1")
    api.put(f"{ROOT}/pods/{SET}-1/status", {**pod, "status": {**pod["status"], "phase": "Failed"}})
    async with following(api) as watching:
        assert watching.platform.address_of(f"{SET}-0") == "[fd00::7]:7400"
        assert watching.platform.address_of(f"{SET}-1") is None


async def test_nodes_say_whether_they_are_well(api: FakeApi, release: Release) -> None:
    release.node("node-0", "zone-0", ready=False)
    api.remove("/api/v1/nodes/node-1")
    release.node("node-2")
    async with following(api) as watching:
        view = await watching.shows(lambda v: v.pods and v.pods[2].zone is not None)
        states = [pod.node_state for pod in view.pods]
        assert states == [Node.NOT_READY, Node.ABSENT, Node.READY]
        assert [pod.zone for pod in view.pods] == ["zone-0", None, ""]


async def test_without_the_cluster_role_the_zone_is_that_of_the_settings(
    api: FakeApi, release: Release
) -> None:
    release.pod(0, "10.0.0.9")
    async with following(api, cluster_role=False, zone="here") as watching:
        view = await watching.shows(lambda v: len(v.pods) == 3)
        assert [pod.zone for pod in view.pods] == [None, "here", "here"]
        assert {pod.node_state for pod in view.pods} == {Node.UNKNOWN}
        assert any("nodes may not be read" in problem for problem in view.problems)
        assert api.count("list", "nodes") == 0


@pytest.mark.parametrize("text", ["", "three", "-1", "3.0", "99999999999"])
async def test_a_wish_that_is_no_count_is_told(api: FakeApi, release: Release, text: str) -> None:
    release.wish(text)
    async with following(api) as watching:
        view = watching.view()
        assert view.chart_count is None
        assert any("storage.replicas in ConfigMap becket-wish is" in p for p in view.problems)
        release.wish(" 5\n")
        assert (await watching.shows(lambda v: v.chart_count)).chart_count == 5
        api.remove(WISH_PATH)
        view = await watching.shows(lambda v: v.chart_count is None)
        assert any("there is no ConfigMap becket-wish" in problem for problem in view.problems)


async def test_an_api_that_is_away_is_told_and_what_was_known_stays(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        await watching.shows(lambda v: len(v.pods) == 3)
        await api.stop()
        await watching.tells("the Kubernetes API tells nothing")
        assert len(watching.view().pods) == 3
        assert watching.platform.address_of(f"{SET}-1") == "10.0.0.1:7400"
        assert not watching.platform.view(10**15).is_current, "after a while it is old"
        await api.start()
        release.wish("4")
        await watching.shows(lambda v: v.chart_count == 4 and not v.problems)
    assert release.replicas == 1


async def test_a_set_that_is_not_there_is_told(api: FakeApi) -> None:
    async with following(api) as watching:
        problems = watching.view().problems
        assert f"there is no StatefulSet {SET}" in problems
        with pytest.raises(PlatformError, match="there is none"):
            await watching.platform.scale_to(3)
        with pytest.raises(PlatformError, match="no StatefulSet"):
            await watching.platform.allow_evictions(1)


# Claims


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods_module, "ASK_S", 0.01)
    monkeypatch.setattr(storage_classes, "LOOK_S", 0.01)


@pytest.mark.usefixtures("quick_looks")
async def test_a_claim_is_gone_when_the_api_says_so_of_exactly_that_claim(
    api: FakeApi, release: Release
) -> None:
    release.claim(1, "Lost")
    async with following(api) as watching:
        await watching.platform.scale_to(3)
        name = f"{SET}-1"
        await watching.shows(lambda v: v.claims.get(name) is Claim.LOST)
        api.remove(f"{ROOT}/persistentvolumeclaims/data-{name}")
        view = await watching.shows(lambda v: v.claims.get(name) is Claim.ABSENT)
        assert view.claims[f"{SET}-0"] is Claim.BOUND
        release.claim(1)
        await watching.shows(lambda v: v.claims.get(name) is Claim.BOUND)


@pytest.mark.usefixtures("quick_looks", "release")
async def test_no_claim_is_missed_that_the_api_does_not_tell_of(api: FakeApi) -> None:
    async with following(api) as watching:
        await watching.platform.scale_to(3)
        fault = api.fail("refuse", "get", "persistentvolumeclaims", times=1000)
        api.remove(f"{ROOT}/persistentvolumeclaims/data-{SET}-1")
        await fault.met.wait()
        await watching.shows(lambda v: len(v.claims) == 2)
        assert f"{SET}-1" not in watching.view().claims


async def test_a_set_without_claims_loses_none(api: FakeApi) -> None:
    release = Release(api)
    release.install(claims=False)
    async with following(api) as watching:
        assert watching.view().claims == {}


@pytest.mark.usefixtures("quick_looks")
async def test_why_a_claim_waits_is_told(
    api: FakeApi, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.claim(0, "Pending", "fast")
    release.claim(1, "Pending")
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    api.put(f"{classes}/slow", {})

    async with following(api) as watching:
        await watching.tells(f"{SET}-0 waits in vain: there is no StorageClass fast")
        await watching.tells(f"{SET}-1 waits in vain: it names no StorageClass")
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        api.put(f"{classes}/slow", {"metadata": {"annotations": default}})
        await watching.shows(lambda v: not any(f"{SET}-1 waits" in p for p in v.problems))
        monkeypatch.setattr(storage_classes, "PATIENCE_US", -(10**18))
        await watching.tells(f"see kubectl describe pvc data-{SET}-1")


# The scale


async def test_the_scale_is_written_by_its_subresource_only(api: FakeApi, release: Release) -> None:
    async with following(api) as watching:
        await watching.platform.scale_to(5)
        assert release.replicas == 5
        assert watching.view().scale == 5, "shown before the watch tells"
        written = [a.place for a in api.asked if a.verb in ("update", "patch", "create")]
        assert [(place.kind, place.sub) for place in written] == [("statefulsets", "scale")]
        await watching.platform.scale_to(5)
        assert api.count("update", "statefulsets") == 1, "what is so already is no write"
        await watching.platform.scale_to(3)
        view = await watching.shows(lambda v: v.scale == 3)
        assert view.sinking is None


async def test_a_scale_that_changed_meanwhile_is_not_overwritten(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        fault = api.fail("slow", "update", "statefulsets")
        scaling = asyncio.create_task(watching.platform.scale_to(5))
        await fault.met.wait()
        api.put(SET_PATH, {**release.stateful_set, "metadata": {"labels": {"x": "y"}}})
        fault.release.set()
        with pytest.raises(PlatformError, match="cannot be fulfilled"):
            await scaling
        assert release.replicas == 1


async def test_a_smaller_scale_is_told_while_it_may_be_in_force(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        await watching.platform.scale_to(5)
        api.fail("drop_before", "update", "statefulsets")
        with pytest.raises(PlatformError):
            await watching.platform.scale_to(3)
        assert watching.view().sinking == 3, "it may have been done, or be done yet"
        assert watching.view().scale == 5
        api.put(SET_PATH, {**release.stateful_set, "metadata": {"labels": {"x": "y"}}})
        await watching.shows(lambda v: v.sinking is None)


async def test_a_policy_that_refuses_is_told_in_its_own_words(
    api: FakeApi, release: Release
) -> None:
    api.admit = lambda _verb, place, _body: "ask becket scale" if place.sub == "scale" else ""
    async with following(api) as watching:
        with pytest.raises(PlatformError, match="ask becket scale"):
            await watching.platform.scale_to(5)
        assert watching.view().sinking is None
    assert release.replicas == 1


# The budget


async def test_the_budget_is_made_owned_and_kept(api: FakeApi, release: Release) -> None:
    async with following(api) as watching:
        assert watching.view().evictions is None
        await watching.platform.allow_evictions(0)
        assert watching.view().evictions == 0
        made = release.taken(BUDGET_PATH)
        assert made["spec"] == {
            "maxUnavailable": 0,
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
            "selector": release.stateful_set["spec"]["selector"],
        }
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner["uid"] == release.stateful_set["metadata"]["uid"]
        await watching.platform.allow_evictions(1)
        assert release.taken(BUDGET_PATH)["spec"]["maxUnavailable"] == 1
        await watching.platform.allow_evictions(1)
        assert api.count("update", "poddisruptionbudgets") == 1

        api.remove(BUDGET_PATH)
        await watching.shows(lambda v: v.evictions is None)
        await watching.platform.allow_evictions(1)
        await watching.shows(lambda v: v.evictions == 1)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"minAvailable": 2},
        {"maxUnavailable": "50%"},
        {"unhealthyPodEvictionPolicy": "AlwaysAllow"},
        {"selector": {"matchLabels": {"app": "x"}}},
    ],
)
async def test_a_budget_that_somebody_changed_is_put_right(
    api: FakeApi, release: Release, spoilt: Json
) -> None:
    async with following(api) as watching:
        await watching.platform.allow_evictions(1)
        made = release.taken(BUDGET_PATH)
        api.put(BUDGET_PATH, {**made, "spec": {**made["spec"], **spoilt}})
        await watching.shows(lambda v: v.evictions is None)
        await watching.platform.allow_evictions(1)
        assert release.taken(BUDGET_PATH)["spec"] == made["spec"]


async def test_a_budget_of_a_set_that_was_made_again_gets_its_new_owner(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        await watching.platform.allow_evictions(1)
        api.remove(SET_PATH)
        release.install()
        await watching.shows(lambda v: v.scale is not None and v.evictions is None)
        await watching.platform.allow_evictions(1)
        (owner,) = release.taken(BUDGET_PATH)["metadata"]["ownerReferences"]
        assert owner["uid"] == release.stateful_set["metadata"]["uid"]


async def test_missing_rights_are_named(api: FakeApi, release: Release) -> None:
    api.forbidden = {("create", "poddisruptionbudgets"), ("update", "statefulsets/scale")}
    async with following(api) as watching:
        with pytest.raises(PlatformError, match="may not create poddisruptionbudgets"):
            await watching.platform.allow_evictions(1)
        with pytest.raises(PlatformError, match="may not update statefulsets/scale"):
            await watching.platform.scale_to(3)
    assert release.replicas == 1


# Gates


async def test_a_gate_is_opened_once_and_nothing_else_of_the_pod_changes(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        view = await watching.shows(lambda v: len(v.pods) == 3)
        before = release.taken(f"{ROOT}/pods/{SET}-1")
        await watching.platform.open_gate(f"{SET}-1", view.pods[1].uid)
        assert release.gate(1) == "True"
        after = release.taken(f"{ROOT}/pods/{SET}-1")
        assert after["spec"] == before["spec"]
        kinds = [each["type"] for each in after["status"]["conditions"]]
        assert kinds == ["Ready", GATE]
        assert watching.view().pods[1].is_whole
        await watching.platform.open_gate(f"{SET}-1", view.pods[1].uid)
        assert api.count("patch", "pods") == 1
        assert not watching.view().pods[0].is_whole


async def test_a_pod_that_follows_under_the_same_name_keeps_its_gate_closed(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        view = await watching.shows(lambda v: len(v.pods) == 3)
        release.remove_pod(1)
        await watching.platform.open_gate(f"{SET}-1", view.pods[1].uid)
        release.pod(1, "10.0.0.8", node="node-1")
        await watching.platform.open_gate(f"{SET}-1", view.pods[1].uid)
        assert release.gate(1) == ""
        fresh = await watching.shows(lambda v: len(v.pods) == 3 and v.pods[1].address[5] == "0")
        new = fresh.pod(f"{SET}-1")
        assert new is not None
        assert not new.is_whole


async def test_a_pod_replaced_between_the_look_and_the_write_keeps_its_gate_closed(
    api: FakeApi, release: Release
) -> None:
    async with following(api) as watching:
        view = await watching.shows(lambda v: len(v.pods) == 3)
        fault = api.fail("slow", "patch", "pods")
        opening = asyncio.create_task(watching.platform.open_gate(f"{SET}-1", view.pods[1].uid))
        await fault.met.wait()
        release.remove_pod(1)
        release.pod(1, "10.0.0.8", node="node-1")
        fault.release.set()
        with pytest.raises(PlatformError):
            await opening
        assert release.gate(1) == ""


async def test_a_pod_without_a_gate_has_nothing_to_open(api: FakeApi) -> None:
    release = Release(api)
    release.install(gate=False)
    release.pod(0, "10.0.0.1")
    async with following(api) as watching:
        view = await watching.shows(lambda v: v.pods)
        assert view.pods[0].is_whole


# Notes


async def test_a_note_is_kept_beside_the_ring(api: FakeApi, release: Release) -> None:
    del release
    async with following(api) as watching:
        platform = watching.platform
        assert await platform.read_note() == ""
        with pytest.raises(PlatformError, match="no ring object"):
            await platform.keep_note("paused")
        annotations = {"annotations": {"becket.dev/lease-transitions": "3"}}
        api.put(RING_PATH, {"metadata": annotations, "binaryData": {"ring": "AAAA"}})
        await platform.keep_note("paused")
        assert await platform.read_note() == "paused"
        found = api.take(RING_PATH)
        assert found is not None
        assert found["binaryData"] == {"ring": "AAAA"}
        assert found["metadata"]["annotations"]["becket.dev/lease-transitions"] == "3"
        await platform.keep_note("paused")
        assert api.count("patch", "configmaps") == 1
        await platform.keep_note("")
        assert await platform.read_note() == ""
        await api.stop()
        with pytest.raises(PlatformError):
            await platform.read_note()
    assert NAMESPACE in RING_PATH
