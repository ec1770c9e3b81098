"""When a pod's gate opens: once all that its member holds is whole, for exactly that pod."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.gates import Gate, Gates, gates
from becket.core.supervision.snapshot import Seen, Snapshot
from becket.core.supervision.wholeness import wholeness
from tests.unit.core.supervision.pods import address, changed, on_platform, pod, view_of
from tests.unit.core.supervision.scenes import RING, seen_of, without

GATE = Gate("m-2", "uid-of-m-2")


def opened(
    shot: Snapshot,
    is_filled: Callable[[str], bool] = lambda _disk: True,
    first: tuple[str, ...] = (),
) -> Gates:
    assert shot.found is not None
    return gates(shot.found, shot, wholeness(shot.found, shot), is_filled, first)


def closed(ring: Ring = RING, name: str = "m-2", **changes: object) -> Snapshot:
    """All well, but for the gate of one pod."""
    view = changed(view_of(ring), name, is_whole=False, is_ready=False)
    return on_platform(ring, view, **changes)


def why(found: Gates) -> str:
    assert found.opens == ()
    (said,) = found.said
    assert said.is_passing
    return said.sentence.removeprefix("m-2 is not ready for the next one to go: ")


def test_a_gate_that_is_open_is_left_alone() -> None:
    assert opened(on_platform()) == Gates()


def test_a_gate_opens_when_all_partitions_of_the_member_are_whole() -> None:
    assert opened(closed()).opens == (GATE,)


def test_a_replica_that_is_behind_or_silent_keeps_it_closed() -> None:
    shot = closed()
    seen = list(shot.seen)
    lagging = replace(seen[2].coordinates[0], lagging=("disk-3",))
    seen[2] = replace(seen[2], coordinates=(lagging, *seen[2].coordinates[1:]))
    found = opened(replace(shot, seen=tuple(seen)))
    assert why(found) == "1 of its 10 partitions lack a replica that is alive and level"
    silent = opened(replace(shot, seen=without(shot.seen, "m-3")))
    assert "partitions lack a replica" in why(silent)


def test_what_is_not_whole_elsewhere_is_not_waited_for() -> None:
    pair = RING.with_configs({p: first_config(("disk-0", "disk-1", "disk-2")) for p in range(8)})
    rest = {p: first_config(("disk-0", "disk-3", "disk-4")) for p in range(8, 16)}
    ring = pair.with_configs(rest)
    shot = closed(ring)
    behind = [
        replace(
            each,
            coordinates=tuple(
                replace(c, lagging=("disk-4",)) if c.partition >= 8 else c for c in each.coordinates
            ),
        )
        for each in shot.seen
    ]
    assert opened(replace(shot, seen=tuple(behind))).opens == (GATE,)


def test_a_process_that_answers_elsewhere_opens_no_gate_of_its_name() -> None:
    shot = closed()
    # The pod before runs on for a moment under the same name.
    seen = tuple(replace(s, address="10.9.9.9:7400") if s.name == "m-2" else s for s in shot.seen)
    assert why(opened(replace(shot, seen=seen))) == "its process is not heard yet"
    addressless = changed(view_of(), "m-2", is_whole=False, address="")
    assert why(opened(on_platform(view=addressless))) == "its process is not heard yet"


def test_a_pod_that_leaves_is_let_alone() -> None:
    view = changed(view_of(), "m-2", is_whole=False, is_terminating=True)
    assert opened(on_platform(view=view)) == Gates()


def joining(ring: Ring) -> Snapshot:
    """A sixth pod, whose gate is closed."""
    newcomer = Seen("m-5", "disk-5", address=address("m-5"), at_us=1_000_000)
    view = view_of(RING)
    view = replace(view, pods=(*view.pods, pod("m-5", is_whole=False)), scale=6, chart_count=6)
    shot = on_platform(ring, view)
    wished = (*shot.wished, replace(shot.wished[0], name="m-5"))
    if any(member.name == "m-5" for member in ring.members):
        return shot
    return replace(shot, seen=(*shot.seen, newcomer), wished=wished)


def test_a_new_member_is_ready_when_it_has_its_copies() -> None:
    said = opened(joining(RING)).said
    assert said[0].sentence.endswith("its disk has not joined yet")
    joined = RING.with_members([*RING.members, Member("disk-5", "m-5", "z0", "node-5")])
    waiting = opened(joining(joined), lambda disk: disk != "disk-5")
    assert waiting.opens == ()
    assert waiting.said[0].sentence.endswith("it is still being given its copies")
    assert opened(joining(joined)).opens == (Gate("m-5", "uid-of-m-5"),), "nothing is planned"
    config = RING.configs[3].begin(("disk-3", "disk-4", "disk-5"))
    begun = joined.with_configs({3: config})
    assert opened(joining(begun)).opens == (), "its first copy is on its way"


def test_who_is_wished_no_more_and_holds_nothing_holds_nobody_up() -> None:
    left = RING.with_members([m for m in RING.members if m.name != "m-2"]).with_configs(
        dict.fromkeys(range(16), first_config(("disk-0", "disk-1", "disk-3")))
    )
    shot = replace(closed(), found=left, confirmed=left)
    gone = replace(shot, wished=tuple(p for p in shot.wished if p.name != "m-2"))
    assert opened(gone).opens == (GATE,)


@pytest.mark.parametrize("state", [MemberState.ACTIVE, MemberState.DRAINING])
def test_a_member_that_drains_is_whole_like_any_other(state: MemberState) -> None:
    table = [replace(m, state=state) if m.name == "m-2" else m for m in RING.members]
    filled = opened(closed(RING.with_members(table)), lambda _disk: state is MemberState.ACTIVE)
    assert filled.opens == (GATE,)


def test_a_disk_that_was_given_up_waits_to_join_again() -> None:
    table = [replace(m, state=MemberState.GONE) if m.name == "m-2" else m for m in RING.members]
    assert why(opened(closed(RING.with_members(table)))) == (
        "its disk was given up, and has to join again"
    )


def test_a_disk_of_another_name_opens_nothing() -> None:
    shot = closed()
    seen = [s for s in shot.seen if s.name != "m-2"]
    seen.append(replace(seen_of(RING)[3], name="m-2", address=address("m-2")))
    assert why(opened(replace(shot, seen=tuple(seen)))) == "its disk is that of m-3"


def test_the_first_start_waits_for_nothing_but_the_ring() -> None:
    shot = closed()
    silent = replace(shot, seen=without(shot.seen, "m-3"))
    assert opened(silent).opens == ()
    assert opened(silent, first=("uid-of-m-2",)).opens == (GATE,)
    unheard = replace(shot, seen=without(shot.seen, "m-2"))
    assert opened(unheard, first=("uid-of-m-2",)).opens == ()


def test_too_few_replicas_are_not_whole() -> None:
    short = RING.with_configs({0: first_config(("disk-0", "disk-2"))})
    assert "1 of its" in why(opened(closed(short)))
