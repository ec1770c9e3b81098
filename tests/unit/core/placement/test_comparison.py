"""The schemes that ours is compared with behave as textbooks say, and the tally counts right."""

from __future__ import annotations

from collections import Counter

import pytest

from becket.core import hashing
from becket.core.placement.comparison import ModN, Scheme, Table, Tally, VirtualNodes
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from tests.properties.placement_checks import cluster, first

NAMES = [f"m-{i}" for i in range(11)]
SLOTS = hashing.slots([str(i).encode() for i in range(5000)])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10])
def test_neither_scheme_puts_two_replicas_on_one_member(count: int) -> None:
    for scheme in (ModN(NAMES[:count], 3), VirtualNodes(NAMES[:count], 3)):
        assert {len(scheme.held(at)) for at in SLOTS} == {min(count, 3)}


def test_mod_is_that_member_and_those_that_follow_it() -> None:
    scheme = ModN(NAMES[:4], 3)
    assert [sorted(scheme.held(at)) for at in (4, 6)] == [
        ["m-0", "m-1", "m-2"],
        ["m-0", "m-2", "m-3"],
    ]


def test_virtual_nodes_give_a_newcomer_its_share_and_move_nothing_between_others() -> None:
    before, after = VirtualNodes(NAMES[:10], 3), VirtualNodes(NAMES, 3)
    for at in SLOTS:
        assert after.held(at) - before.held(at) <= {"m-10"}


def moved_by_hand(before: Scheme, after: Scheme) -> tuple[int, int]:
    """Copies and keys, counted one by one."""
    ways = [after.held(at) - before.held(at) for at in SLOTS]
    return sum(map(len, ways)), sum(map(bool, ways))


def test_ours_moves_a_share_and_is_even_virtual_nodes_are_not_and_hash_mod_n_moves_most() -> None:
    ring = first(256, cluster(10))
    placement = place(ring, cluster(11), Constraints(3))
    schemes: dict[str, tuple[Scheme, Scheme]] = {
        "ours": (Table([config.old for config in ring.configs]), Table(placement.replicas)),
        "nodes": (VirtualNodes(NAMES[:10], 3), VirtualNodes(NAMES, 3)),
        "mod": (ModN(NAMES[:10], 3), ModN(NAMES, 3)),
    }
    found = {}
    for name, (before, after) in schemes.items():
        tally = Tally(before, after, 11)
        tally.note(SLOTS[:2000])
        tally.note(SLOTS[2000:])
        found[name] = tally.moved
        assert (tally.moved.moved, tally.moved.touched) == moved_by_hand(before, after)
        assert (tally.moved.keys, tally.moved.copies) == (5000, 15_000)
    assert found["ours"].moved / 15_000 == pytest.approx(1 / 11, rel=0.1)
    assert found["nodes"].moved / 15_000 == pytest.approx(1 / 11, rel=0.3)
    assert found["mod"].moved > 0.6 * 15_000
    assert found["ours"].fullest < 1.05 < found["nodes"].fullest


def test_a_table_is_read_by_partition() -> None:
    ring = first(64, cluster(5))
    table = Table([config.old for config in ring.configs])
    for key in (b"a", b"{tag}.x", b"b"):
        assert table.held(hashing.slot(key)) == frozenset(ring.lookup(key).old)


def test_the_fullest_member_is_set_beside_the_mean_of_all() -> None:
    scheme = ModN(NAMES[:4], 1)
    tally = Tally(scheme, scheme, 4)
    assert tally.moved.fullest == 0.0
    tally.note([0, 0, 0, 1])
    there = Counter(name for at in (0, 0, 0, 1) for name in scheme.held(at))
    assert there["m-0"] == 3
    assert tally.moved == type(tally.moved)(keys=4, copies=4, moved=0, touched=0, fullest=3.0)
