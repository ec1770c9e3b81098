"""Case 9: the leading supervisor dies in the middle of a plan; and it loses the API server."""

from __future__ import annotations

import time

import pytest

from becket.cli.chaos import Fault
from becket.core.errors import BecketError
from tests.e2e import client_pods, figures
from tests.e2e.kube import CommandError
from tests.e2e.release import NAME, Installed, NotYetError, Span
from tests.e2e.test_scale import SCALE_S, ring_of
from tests.e2e.waiting import until

LEASE = f"{NAME}-supervisor"
CUT_S = 40.0
IGNORED = (NotYetError, BecketError, CommandError)


def leader_of(release: Installed) -> str:
    """The pod that leads, by the Lease."""
    holder = str(release.fetch("lease", LEASE)["spec"].get("holderIdentity") or "")
    found = [pod.name for pod in release.pods("supervisor") if holder.startswith(pod.name)]
    if not found:
        raise NotYetError(f"nobody leads: {holder!r}")
    return found[0]


def transitions(release: Installed) -> int:
    return int(release.fetch("lease", LEASE)["spec"].get("leaseTransitions") or 0)


def fill(release: Installed, count: int) -> None:
    """Enough data for a plan to take a while."""
    pod = release.pods("router")[0].name
    program = (
        "import sys; from becket.sync import Client\n"
        "from becket.client.values import Put\n"
        "with Client('127.0.0.1:7400', timeout=30) as client:\n"
        f"    for at in range(0, {count}, 500):\n"
        "        client.batch([Put(f'fill/{at + n}', bytes(1000)) for n in range(500)])\n"
    )
    line = ("-n", release.namespace, "exec", pod, "--", "python", "-c", program)
    release.kube.kubectl(*line, limit_s=300)


def test_the_next_leader_goes_on_with_a_plan(release: Installed) -> None:
    client = client_pods.start(
        release.kube, release.namespace, release.image, "client", target=release.target
    )
    fill(release, 20_000)
    since_s = time.time()
    release.becket("scale", "5")
    until("a plan is under way", lambda: _is_moving(release), 240, ignoring=IGNORED)
    before, first = transitions(release), leader_of(release)
    killed_s = time.time()
    scene = release.scene()
    release.strike(Fault.FORCE, [scene.processes[first]])
    until("another one leads", lambda: leader_of(release) != first, 60, ignoring=IGNORED)
    figures.tell(f"9 another supervisor leads after {time.time() - killed_s:.1f} s")
    release.wait_whole(SCALE_S, count=5)
    figures.tell(f"9 the plan is done {time.time() - killed_s:.1f} s after its leader died")
    assert transitions(release) > before
    release.becket("scale", "3", "--wait", "--within", "15m", limit_s=SCALE_S)
    release.wait_whole(SCALE_S, count=3)
    span = Span(since_s, time.time())
    history = client.stop()
    figures.gaps("9 a leader dies in mid-plan", history, [span])
    assert history.problems() == []
    assert history.failed(*span) == []


def _is_moving(release: Installed) -> bool:
    plan = release.status()["plan"]
    return plan is not None and plan["state"] == "running" and plan["steps_done"] > 0


def test_a_leader_without_the_api_acts_on_nothing(release: Installed) -> None:
    release.kube.need_nodes()
    # A member may leave only where enough are left for all copies.
    release.becket("scale", "4", "--wait", "--within", "15m", limit_s=SCALE_S)
    release.wait_whole(SCALE_S, count=4)
    first = leader_of(release)
    address = next(p.address for p in release.pods("supervisor") if p.name == first)
    host = address.rpartition(":")[0]
    before, ring = transitions(release), ring_of(release)
    release.kube.cut_from_api(host)
    try:
        until("another one leads", lambda: leader_of(release) != first, 60, ignoring=IGNORED)
        second = leader_of(release)
        # What a person wishes now goes through the new leader, whoever is asked.
        release.becket("drain", f"{NAME}-storage-0")
        changed = until("the ring says so", lambda: _newer(release, ring.version), 60)
        time.sleep(CUT_S)
    finally:
        release.kube.mend_to_api(host)
    time.sleep(15)
    assert leader_of(release) == second, "it took the lead back without a reason"
    assert transitions(release) == before + 1
    now = ring_of(release)
    assert now.version >= changed
    assert any(m.name == f"{NAME}-storage-0" and m.state.name == "DRAINING" for m in now.members)
    release.becket("undrain", f"{NAME}-storage-0")
    release.becket("scale", "3", "--wait", "--within", "15m", limit_s=SCALE_S)
    release.wait_whole(SCALE_S, count=3)
    with pytest.raises(CommandError):
        release.kube.kubectl(*("-n", release.namespace, "logs", first, "--previous"))


def _newer(release: Installed, version: int) -> int:
    found = ring_of(release).version
    return found if found > version else 0
