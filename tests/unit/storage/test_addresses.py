"""Where members answer (``storage.addresses``)."""

from __future__ import annotations

from dataclasses import replace

from becket.adapters.local.directory import TemplateDirectory
from becket.adapters.rpc.ring_view import RingView
from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberState, in_order
from becket.core.ring.ring import Ring
from becket.storage.addresses import MOST_SAID, Addresses

OLD, NEW = "10.0.0.1:7400", "10.0.0.2:7400"
RING = Ring(1, "c-1", 1, (Member("d1", "storage-1"),), (first_config(("d1",)),))
REPLACED = replace(
    RING,
    version=2,
    members=in_order(
        [Member("d1", "storage-1", state=MemberState.GONE), Member("d2", "storage-1")]
    ),
)


class Place:
    """The addresses of one process, and what they rest on."""

    def __init__(self) -> None:
        self.view = RingView()
        self.addresses = Addresses(self.view, TemplateDirectory("{name}.storage:7400"))

    def offer(self, ring: Ring) -> None:
        self.view.offer_ring(ring)
        self.addresses.set_ring(ring)


def test_a_name_is_asked_for_until_its_process_says_where_it_is() -> None:
    place = Place()
    assert place.addresses.of("d1") is None
    place.offer(RING)
    assert place.addresses.of("d1") == "storage-1.storage:7400"
    place.addresses.said("d1", OLD)
    assert place.addresses.of("d1") == place.view.addresses["d1"] == OLD
    assert place.addresses.of("d2") is None


def test_a_new_disk_that_says_hello_before_its_ring_is_here_is_found_all_the_same() -> None:
    place = Place()
    place.offer(RING)
    place.addresses.said("d1", OLD)
    place.addresses.said("d2", NEW)
    assert place.addresses.of("d1") == OLD
    place.offer(REPLACED)
    assert place.addresses.of("d2") == place.view.addresses["d2"] == NEW


def test_a_disk_that_was_given_up_says_nothing_about_its_name() -> None:
    place = Place()
    place.offer(REPLACED)
    place.addresses.said("d2", NEW)
    place.addresses.said("d1", OLD)  # its process was only cut off, and comes back
    assert place.addresses.of("d2") == NEW
    place.offer(replace(REPLACED, version=3))
    assert place.addresses.of("d2") == NEW


def test_what_is_kept_is_bounded() -> None:
    place = Place()
    place.addresses.said("d1", OLD)
    for number in range(MOST_SAID):
        place.addresses.said(f"x{number}", NEW)
    place.offer(RING)
    assert place.addresses.of("d1") == "storage-1.storage:7400", "the oldest word is forgotten"
