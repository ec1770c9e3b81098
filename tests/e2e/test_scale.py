"""Case 6: scaled out by the chart and in by the command, under load; other writers are refused."""

from __future__ import annotations

import time

import pytest

from becket.core.ring.ring import Ring
from tests.e2e import client_pods, figures
from tests.e2e.kube import CommandError
from tests.e2e.release import NAME, Installed, Span
from tests.e2e.test_kills import steadily

SHARE = 1.05
"""Of the least that has to be moved."""

SCALE_S = 900


def moved(before: Ring, after: Ring) -> int:
    """Copies that were made between two rings: replicas that their partition did not have."""
    return sum(
        len(new.member_set - old.member_set)
        for old, new in zip(before.configs, after.configs, strict=True)
    )


def held(ring: Ring, names: set[str]) -> int:
    """Copies on members of these names."""
    disks = {member.disk for member in ring.members if member.name in names}
    return sum(len(config.member_set & disks) for config in ring.configs)


def ring_of(release: Installed) -> Ring:
    found = release.ring()
    assert found is not None
    return found


def test_out_and_in_under_load(release: Installed) -> None:
    client = client_pods.start(
        release.kube, release.namespace, release.image, "client", target=release.target
    )
    steady = steadily(figures.STEADY_S)
    three = ring_of(release)

    since_s = time.time()
    release.helm("upgrade", "--set", "storage.replicas=5")
    release.wait_whole(SCALE_S, count=5)
    out = Span(since_s, time.time())
    five = ring_of(release)
    least = held(five, {f"{NAME}-storage-3", f"{NAME}-storage-4"})
    share = moved(three, five) / least
    figures.tell(f"6 3 -> 5: {moved(three, five)} copies moved, {share:.3f} of the least")
    assert share <= SHARE

    with pytest.raises(CommandError) as refused:
        release.kube.kubectl(
            *("-n", release.namespace, "scale", "statefulset", f"{NAME}-storage", "--replicas=3")
        )
    figures.tell(f"6 kubectl scale: {refused.value}")
    assert "becket scale" in str(refused.value)
    assert release.fetch("statefulset", f"{NAME}-storage")["spec"]["replicas"] == 5

    since_s = time.time()
    print(release.becket("scale", "3", "--wait", "--within", "15m", limit_s=SCALE_S + 60))
    release.wait_whole(SCALE_S, count=3)
    inward = Span(since_s, time.time())
    again = ring_of(release)
    least = held(five, {f"{NAME}-storage-3", f"{NAME}-storage-4"})
    share = moved(five, again) / least
    figures.tell(f"6 5 -> 3: {moved(five, again)} copies moved, {share:.3f} of the least")
    assert share <= SHARE
    assert [pod.name for pod in release.pods("storage")] == [
        f"{NAME}-storage-{ordinal}" for ordinal in range(3)
    ]

    # A plain upgrade keeps what the command has said; the chart's value has not changed.
    release.helm("upgrade", "--set", "storage.replicas=5", "--set", "logLevel=warning")
    release.wait_whole(SCALE_S, count=3)

    time.sleep(2)
    history = client.stop()
    figures.gaps("6 3 -> 5", history, [out], steady)
    figures.gaps("6 5 -> 3", history, [inward], steady)
    assert history.problems() == []
    assert history.failed(out.since_s, inward.until_s) == []
