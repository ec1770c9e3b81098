"""A router on Kubernetes: the ring from the API or from any member, and members that move."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from becket.adapters.kubernetes.topology import KubernetesTopology
from becket.adapters.local.directory import TemplateDirectory
from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import ring_pb2
from becket.core.ring.ring import Ring
from becket.router.members import Members
from becket.router.on_kubernetes import build_on_kubernetes
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.contract import Runtime
from becket.runtime.settings import SettingsError, load_settings
from tests.unit.adapters.kubernetes.fake_api import FakeApi, access_to, until
from tests.unit.dispatch.fakes import FakeCluster, eventually
from tests.unit.router.running import BuildRouter, RunningRouter, router

TEMPLATE = "{name}.nowhere.invalid:7400"
KUBERNETES = {"ring_object": "becket-ring", "backoff_least_ms": 1, "backoff_most_ms": 20}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        yield cluster


async def on_template(runtime: Runtime, settings: RouterSettings) -> RouterService:
    return RouterService(runtime, settings, TemplateDirectory(TEMPLATE), None)


def on(api: FakeApi, folder: Path) -> BuildRouter:
    kubeconfig = str(api.write_kubeconfig(folder / "kubeconfig"))
    return partial(build_on_kubernetes, kubeconfig=kubeconfig)


async def put(made: RunningRouter, key: bytes) -> bool:
    return bool((await made.key_values.Put(kv.PutRequest(key=key), timeout=5)).version)


# Where members answer


async def test_what_members_tell_goes_before_the_template(cluster: FakeCluster) -> None:
    seeds = (cluster.members["disk-1"].address,)
    async with router({}, build=on_template, member_addresses=seeds) as made:
        await made.ready()
        for disk in cluster.members:
            (key,) = cluster.keys(disk, 1)
            assert await put(made, key)
        found = await made.rings.GetRing(ring_pb2.GetRingRequest(), timeout=5)
        told = {member.disk_id: member.address for member in found.ring.members}
        assert told == {disk: member.address for disk, member in cluster.members.items()}


@pytest.mark.parametrize("by_watch", [True, False])
async def test_a_member_that_moved_is_dialled_where_it_is_now(
    cluster: FakeCluster, *, by_watch: bool
) -> None:
    seeds = (cluster.members["disk-0"].address,)
    async with router({}, build=on_template, member_addresses=seeds) as made:
        await made.ready()
        (key,) = cluster.keys("disk-1", 1)
        assert await put(made, key)
        member = cluster.members["disk-1"]
        before = member.address
        await member.stop()
        member.address = ""
        await member.start()
        assert member.address != before
        if by_watch:
            cluster.tell()
        else:
            cluster.told.clear()  # Only whoever is asked tells it, by Locate.
        assert await put(made, key)
        follower = made.running.connection.follower
        await eventually(lambda: member.address in follower.addresses)
        assert before not in follower.addresses


def template_members(view: RingView) -> Members:
    return Members(TemplateDirectory(TEMPLATE), view, ())


def test_a_name_that_is_told_takes_no_address_away() -> None:
    cluster = FakeCluster()
    view = RingView()
    members = template_members(view)
    assert members.address_of("disk-0") is None
    view.offer_ring(cluster.ring)
    assert members.address_of("disk-0") == "storage-0.nowhere.invalid:7400"
    for told, then in (
        ("10.0.0.1:7400", "10.0.0.1:7400"),
        ("storage-0.nowhere.invalid:7400", "10.0.0.1:7400"),
        ("10.0.0.2:7400", "10.0.0.2:7400"),
        ("", "10.0.0.2:7400"),
        ("[fd00::1]:7400", "[fd00::1]:7400"),
    ):
        view.addresses["disk-0"] = told
        assert members.address_of("disk-0") == then
    assert members.address_of("disk-9") is None


async def test_without_a_ring_all_addresses_of_a_name_are_seeds() -> None:
    view = RingView()
    seeds = ("localhost:7400", "127.0.0.9:7400", "nobody.invalid:7400", "10.0.0.1:x")
    members = Members(TemplateDirectory(TEMPLATE), view, seeds)
    found = await members.first_seeds()
    assert found[:4] == list(seeds)
    assert "127.0.0.1:7400" in found
    view.offer_ring(FakeCluster().ring)
    assert await members.first_seeds() == list(seeds)


# The ring


class Writer:
    """Writes the ring object as the supervisor does."""

    def __init__(self, topology: KubernetesTopology) -> None:
        self._topology = topology

    async def write(self, ring: Ring) -> None:
        found = await self._topology.read()
        version = None if found is None else found.object_version
        assert await self._topology.compare_and_swap(version, ring)


async def test_the_ring_comes_from_the_api_and_is_followed(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    async with (
        FakeApi() as api,
        access_to(api) as access,
        router({}, build=on(api, tmp_path), kubernetes=KUBERNETES) as made,
    ):
        writer = Writer(KubernetesTopology(access, rng=random.Random(1)))
        await writer.write(cluster.ring)
        await until(lambda: made.is_ready)
        view = made.running.connection.view
        later = cluster.ring.succeeding(cluster.ring)
        await writer.write(later)
        await until(lambda: view.table.version == later.version)
        await api.stop()
        found = await made.rings.GetRing(ring_pb2.GetRingRequest(), timeout=5)
        assert found.ring.version == later.version
        assert made.is_ready
        await api.start()
        last = later.succeeding(later)
        await writer.write(last)
        await until(lambda: view.table.version == last.version)
        exposition = made.host.runtime.telemetry.exposition()[0].decode()
        assert "becket_kubernetes_event_age_seconds" in exposition
        assert "becket_router_ring_version" in exposition


async def test_a_router_that_starts_while_the_api_is_away_serves(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    api = FakeApi()
    async with api:
        build = on(api, tmp_path)
    seeds = (cluster.members["disk-2"].address,)
    async with router(
        {},
        build=build,
        member_addresses=seeds,
        kubernetes=KUBERNETES,
        address_template=TEMPLATE,
    ) as made:
        await made.ready()
        await eventually(lambda: made.is_ready)
        (key,) = cluster.keys("disk-0", 1)
        assert await put(made, key)


async def test_an_api_that_hangs_holds_up_no_stop(tmp_path: Path) -> None:
    async with FakeApi() as api:
        api.fail("hold", times=100)
        async with router({}, build=on(api, tmp_path), kubernetes=KUBERNETES) as made:
            await until(lambda: api.asked)
            assert await made.end() == 0


# What a process is told, and what it loads


def test_there_is_one_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BECKET_TOPOLOGY_FILE", "/ring")
    monkeypatch.setenv("BECKET_KUBERNETES__RING_OBJECT", "becket-ring")
    with pytest.raises(SettingsError, match="topology_file: must not be set with"):
        load_settings(RouterSettings)


def test_a_setting_of_the_group_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BECKET_KUBERNETES__CALL_MS", "0")
    with pytest.raises(SettingsError, match=r"kubernetes\.call_ms: must be in"):
        load_settings(RouterSettings)
    monkeypatch.setenv("BECKET_KUBERNETES__CALL_MS", "500")
    assert load_settings(RouterSettings).kubernetes.call_ms == 500
    assert not load_settings(RouterSettings).kubernetes.is_set


@pytest.mark.parametrize(
    "module",
    ["becket.router.__main__", "becket.supervisor.__main__", "becket.storage.__main__"],
)
def test_a_process_of_one_machine_never_imports_the_kubernetes_client(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(' '.join(loaded & {'kubernetes', 'aiohttp'}) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
