"""No eviction that the budget lets through takes a majority away: every small cluster is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pytest

from becket.core.replication.versions import Epoch
from becket.core.ring.config import Config, first_config
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.evictions import Budget, budget
from becket.core.supervision.snapshot import Coordinated, Seen, Snapshot
from becket.core.supervision.wholeness import wholeness
from tests.unit.core.ring.rings import ring_of, turning_ring
from tests.unit.core.supervision.pods import changed, on_platform, pod, view_of
from tests.unit.core.supervision.scenes import seen_of, without

RELEASE_US = 60_000_000
NOW_US = 1_000_000_000


class Life(NamedTuple):
    """One member's process and its pod."""

    is_alive: bool = True
    is_level: bool = True
    is_ready: bool = True
    unready_us: int = 0
    is_terminating: bool = False


WELL = Life()
LIVES = (
    WELL,
    Life(is_level=False),
    Life(is_level=False, is_ready=False, unready_us=5),
    Life(is_ready=False, unready_us=2 * RELEASE_US),
    Life(is_alive=False),  # cut off from its peers: the platform thinks that it is well
    Life(is_alive=False, is_ready=False, unready_us=5),
    Life(is_alive=False, is_ready=False, unready_us=2 * RELEASE_US),
    Life(is_terminating=True),
    Life(is_alive=False, is_ready=False, unready_us=2 * RELEASE_US, is_terminating=True),
)

JOINT = first_config(("disk-0", "disk-1", "disk-2")).begin(("disk-0", "disk-1", "disk-3"))
SWAP = first_config(("disk-0", "disk-1", "disk-2")).begin(("disk-1", "disk-2", "disk-3"))
RINGS = {
    "three of three": turning_ring(count=3, partitions=4),
    "three of four": turning_ring(count=4, partitions=4),
    "three of four, one empty": ring_of(first_config(("disk-0", "disk-1", "disk-2")), count=4),
    "a change under way": ring_of(JOINT, SWAP, count=4),
    "two copies": turning_ring(count=3, partitions=4, replicas=2),
    "one copy": turning_ring(count=3, partitions=4, replicas=1),
}


def scene(ring: Ring, lives: tuple[Life, ...]) -> Snapshot:
    """What a supervisor sees of members that live like this."""
    alive = {f"disk-{i}" for i, life in enumerate(lives) if life.is_alive}
    lagging = {f"disk-{i}" for i, life in enumerate(lives) if not life.is_level}
    dead = {m.disk for m in ring.members} - alive
    seen = []
    for member in ring.members:
        led = tuple(
            Coordinated(p, c.gen, Epoch(c.gen, member.disk, 1), tuple(lagging - {member.disk}))
            for p, c in enumerate(ring.configs)
            if _leader(c, alive, lagging) == member.disk
        )
        seen.append(
            Seen(
                member.name,
                member.disk,
                1,
                ring.cluster,
                ring.version,
                at_us=NOW_US,
                is_connected=member.disk in alive,
                suspects=frozenset(dead),
                coordinates=led,
            )
        )
    view = view_of(ring)
    for i, life in enumerate(lives):
        view = changed(
            view,
            f"m-{i}",
            is_ready=life.is_ready,
            is_terminating=life.is_terminating,
            unready_since_us=None if life.is_ready else NOW_US - life.unready_us,
        )
    return replace(on_platform(ring, view), seen=tuple(seen), now_us=NOW_US)


def _leader(config: Config, alive: set[str], lagging: set[str]) -> str:
    """Who coordinates: a level member before others, if there is a majority at all."""
    if not config.quorum(alive):
        return ""
    standing = [disk for disk in config.members if disk in alive]
    return next((disk for disk in standing if disk not in lagging), standing[0])


def evictable(lives: tuple[Life, ...], allowed: int) -> Iterator[int]:
    """Which pods the API would evict (policy IfHealthyBudget), by their ordinals."""
    healthy = sum(life.is_ready and not life.is_terminating for life in lives)
    wished = len(lives) - allowed
    for ordinal, life in enumerate(lives):
        if life.is_terminating:
            continue
        if healthy > wished or (not life.is_ready and healthy >= wished and wished > 0):
            yield ordinal


def allowed_in(shot: Snapshot) -> Budget:
    assert shot.found is not None
    whole = wholeness(shot.found, shot)
    return budget(shot.found, shot, whole, release_us=RELEASE_US)


@pytest.mark.parametrize("name", RINGS)
def test_no_eviction_that_is_allowed_takes_a_majority(name: str) -> None:
    ring = RINGS[name]
    allowed_ones = 0
    for lives in product(LIVES, repeat=len(ring.members)):
        found = allowed_in(scene(ring, lives))
        allowed_ones += found.count
        alive = {f"disk-{i}" for i, life in enumerate(lives) if life.is_alive}
        for victim in evictable(lives, found.count) if found.count else ():
            for config in ring.configs:
                if config.quorum(alive):
                    left = alive - {f"disk-{victim}"}
                    assert config.quorum(left), (lives, victim, config)
    if ring.replicas < 3:
        assert allowed_ones == 0
    else:
        assert allowed_ones > 0


def test_all_well_one_may_go() -> None:
    assert allowed_in(scene(RINGS["three of three"], (WELL,) * 3)) == Budget(1)
    assert allowed_in(scene(RINGS["a change under way"], (WELL,) * 4)) == Budget(1)


@pytest.mark.parametrize("life", LIVES[1:3])
def test_nobody_may_go_while_a_member_comes_back(life: Life) -> None:
    found = allowed_in(scene(RINGS["three of three"], (WELL, life, WELL)))
    assert found.count == 0
    assert found.said is not None
    assert "4 of 4 partitions could lose their majority, as m-1 is not" in found.said.sentence


def test_nobody_may_go_while_another_one_goes() -> None:
    found = allowed_in(scene(RINGS["three of three"], (WELL, WELL, LIVES[7])))
    assert found.said is not None
    assert "no pod may be evicted: m-2 is on its way out" in found.said.sentence


def test_a_hand_over_that_runs_lets_nobody_go() -> None:
    shot = scene(RINGS["three of three"], (WELL,) * 3)
    seen = tuple(replace(each, coordinates=each.coordinates[1:]) for each in shot.seen)
    assert allowed_in(replace(shot, seen=seen)).count == 0


def test_a_member_that_holds_nothing_matters_not() -> None:
    ring = RINGS["three of four, one empty"]
    for life in LIVES:
        assert allowed_in(scene(ring, (WELL, WELL, WELL, life))).count == 1


def test_a_member_unready_for_good_is_released_when_nothing_depends_on_it() -> None:
    ring = RINGS["three of three"]
    found = allowed_in(scene(ring, (WELL, LIVES[6], WELL)))
    assert found.count == 1
    assert found.said is not None
    assert found.said.sentence.startswith("m-1 has been neither ready nor heard for 60 s")
    assert allowed_in(scene(ring, (WELL, LIVES[5], WELL))).count == 0, "not for long yet"
    assert allowed_in(scene(ring, (WELL, LIVES[4], WELL))).count == 0, "the platform calls it ready"
    assert allowed_in(scene(ring, (WELL, LIVES[6], LIVES[1]))).count == 0, "another one is behind"
    slow = Life(is_level=False, is_ready=False, unready_us=2 * RELEASE_US)
    assert allowed_in(scene(ring, (WELL, slow, WELL))).count == 0, "it is heard, and comes back"
    assert allowed_in(scene(ring, (WELL, LIVES[6], LIVES[6]))).count == 0


def test_a_member_given_up_that_others_still_name_counts_as_dead() -> None:
    ring = RINGS["three of three"]
    gone = [replace(m, state=MemberState.GONE) if m.name == "m-1" else m for m in ring.members]
    assert allowed_in(on_platform(ring.with_members(gone))).count == 0


def test_without_a_ring_or_with_one_that_is_not_confirmed_nobody_may_go() -> None:
    shot = on_platform()
    assert budget(None, shot, None, release_us=RELEASE_US).count == 0
    assert allowed_in(replace(shot, confirmed=None)).count == 0
    assert allowed_in(shot).count == 1


def test_who_is_suspected_by_some_lets_nobody_go() -> None:
    seen = seen_of(RINGS["three of three"])
    seen[0] = replace(seen[0], suspects=frozenset({"disk-1"}))
    shot = on_platform(RINGS["three of three"])
    assert allowed_in(replace(shot, seen=tuple(seen))).count == 0
    silent = without(tuple(seen_of(RINGS["three of three"])), "m-1")
    assert allowed_in(replace(shot, seen=silent)).count == 0


def test_a_pod_of_no_member_is_not_waited_for() -> None:
    shot = on_platform()
    assert shot.platform is not None
    extra = replace(shot.platform, pods=(*shot.platform.pods, pod("m-9", is_terminating=True)))
    assert allowed_in(replace(shot, platform=extra)).count == 1
