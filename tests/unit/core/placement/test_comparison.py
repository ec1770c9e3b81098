"""The schemes that ours is compared with behave as the textbooks say."""

from __future__ import annotations

from becket.core import hashing
from becket.core.placement.comparison import by_mod, by_virtual_nodes, compare
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from tests.properties.placement_checks import cluster, first

NAMES = [f"m-{i}" for i in range(11)]
SLOTS = [hashing.slot(str(i).encode()) for i in range(500)]


def test_neither_scheme_puts_two_replicas_on_one_member() -> None:
    for count in (3, 4, 10):
        for scheme in (by_mod, by_virtual_nodes):
            assert all(len(held) == 3 for held in scheme(SLOTS, NAMES[:count], 3))


def test_hash_mod_n_moves_almost_everything_and_virtual_nodes_little() -> None:
    ring = first(256, cluster(10))
    placement = place(ring, cluster(11), Constraints(3))
    found = compare(placement, NAMES[:10], NAMES)
    assert found.copies == 768
    assert found.ours == placement.bound
    assert found.mod > 0.6 * found.copies
    assert found.ours < found.virtual_nodes < 0.25 * found.copies
    assert found.sentence.startswith("of 768 copies this change moves 69 (9.0 %); hash mod n")


def test_no_change_moves_nothing() -> None:
    ring = first(64, cluster(5))
    found = compare(place(ring, cluster(5), Constraints(3)), NAMES[:5], NAMES[:5])
    assert (found.ours, found.mod, found.virtual_nodes) == (0, 0, 0)
