"""Rings, coordinators and addresses as others tell them, taken into the ring view.

Owns the reading of ``RingService`` answers. Must not ask anybody. Invariants: only what is newer
counts, by ring version and by epoch; a change is applied only to the version that it starts from; a
ring that is not valid, or of another cluster, is refused and leaves everything as it was; a name
takes no numeric address away: who tells a name knows no better, and DNS follows a pod late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import (
    addresses_of,
    config_from_proto,
    epoch_from_proto,
    member_from_proto,
    ring_from_proto,
)
from becket.api.v1 import ring_pb2, types_pb2
from becket.core.errors import InvalidRingError
from becket.core.ring.config import Disk
from becket.core.ring.members import in_order
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate


class News:
    """What comes in for one ring view.

    ``moved`` is called when an address has changed, ``heard`` with each disk that coordinates anew.
    """

    def __init__(
        self, view: RingView, moved: Callable[[], None], heard: Callable[[Disk], None]
    ) -> None:
        self.view = view
        self._moved = moved
        self._heard = heard

    def take_watch(self, message: ring_pb2.WatchRingResponse) -> bool:
        """Take one message of a watch; False where its change does not lead from what is known.

        :raises InvalidRingError: what it carries is refused.
        """
        applies = True
        if message.HasField("ring"):
            self._offer(message.ring)
        if message.HasField("change"):
            applies = self._change(message.change)
        self.take_coordinators(message.coordinators)
        return applies

    def take_ring(self, message: ring_pb2.GetRingResponse) -> None:
        """Take an answer of GetRing.

        :raises InvalidRingError: what it carries is refused.
        """
        if message.HasField("ring"):
            self._offer(message.ring)
        self.take_coordinators(message.coordinators)

    def take_location(self, message: ring_pb2.LocateResponse) -> None:
        """Take an answer of Locate."""
        self._take_addresses(message.replicas)
        if message.HasField("coordinator"):
            self.take_coordinators([message.coordinator])

    def take_coordinators(self, coordinators: Iterable[types_pb2.Coordinator]) -> None:
        """Take reports of who coordinates."""
        view, heard = self.view, set[Disk]()
        for found in coordinators:
            if not found.HasField("epoch") or not found.epoch.counter:
                continue
            disk = found.epoch.disk_id
            if found.address:
                self._note(disk, found.address)
            if view.offer_coordinator(found.partition, epoch_from_proto(found.epoch)):
                heard.add(disk)
        for disk in heard:
            self._heard(disk)

    def _offer(self, message: types_pb2.Ring) -> None:
        ring = ring_from_proto(message)
        self._take_addresses(message.members)
        self.view.offer_ring(ring)

    def _change(self, change: ring_pb2.RingChange) -> bool:
        known = self.view.ring
        if known is not None and change.to_version <= known.version:
            if change.to_version == known.version:
                self._take_addresses(change.members)
            return True
        if known is None or change.from_version != known.version:
            return False
        self._take_addresses(change.members)
        self.view.offer_ring(_changed(known, change))
        return True

    def _take_addresses(self, members: Iterable[types_pb2.Member]) -> None:
        for disk, address in addresses_of(members).items():
            self._note(disk, address)

    def _note(self, disk: Disk, address: str) -> None:
        known = self.view.addresses.get(disk, "")
        if known == address or (is_numeric(known) and not is_numeric(address)):
            return
        if self.view.note_address(disk, address):
            self._moved()


def is_numeric(address: str) -> bool:
    """Whether host:port has a number for its host, and no name."""
    try:
        ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True


def _changed(known: Ring, change: ring_pb2.RingChange) -> Ring:
    """The ring that a change leads to.

    :raises InvalidRingError: there is no such partition, or the outcome is not valid.
    """
    members = {member.disk: member for member in known.members}
    for disk in change.removed_disk_ids:
        members.pop(disk, None)
    for member in change.members:
        members[member.disk_id] = member_from_proto(member)
    configs = list(known.configs)
    for message in change.partitions:
        if message.partition >= len(configs):
            raise InvalidRingError("partitions", f"there is no partition {message.partition}")
        configs[message.partition] = config_from_proto(message)
    return validate(
        Ring(
            version=change.to_version,
            cluster=known.cluster,
            replicas=known.replicas,
            members=in_order(members.values()),
            configs=tuple(configs),
        )
    )
