"""What a caller is told of an operation that was not executed: why, and whom to ask instead.

Owns the errors of the core's reasons (PROTOCOL R29), and the status that names another member.
"""

from __future__ import annotations

from google.rpc import status_pb2

from becket.adapters.rpc.errors import to_status
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import coordinator_to_proto
from becket.api.v1 import errors_pb2, types_pb2
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    BecketError,
    NotAppliedError,
    OldNumberError,
    OverloadedError,
    StaleStampError,
    WrongMemberError,
)
from becket.core.replication.cells import Reason
from becket.core.ring.config import Disk

OVERLOAD_PAUSE_MS = 50


def wrong_member(view: RingView, own: Disk, partition: int, hint: Disk) -> status_pb2.Status:
    """The status of a partition that another member than ``own`` coordinates.

    ``hint``: who does, as far as the core knows; empty where it does not.
    """
    table = view.table
    if not hint or hint == own:
        known = table.coordinator(partition)
        hint = known if known is not None and known != own else ""
    status = to_status(WrongMemberError(partition, ring_version=table.version))
    if hint:
        detail = errors_pb2.WrongMember(partition=partition, ring_version=table.version)
        detail.coordinator.CopyFrom(_coordinator(view, partition, hint))
        status.details[-1].Pack(detail)
    return status


def _coordinator(view: RingView, partition: int, disk: Disk) -> types_pb2.Coordinator:
    table, ring = view.table, view.ring
    epoch = table.epochs.get(partition)
    if epoch is not None and epoch.disk == disk:
        name = ring.name_of(disk) if ring is not None else ""
        address = view.addresses.get(disk)
        return coordinator_to_proto(partition, epoch, name, address)
    found = types_pb2.Coordinator(partition=partition)
    found.epoch.disk_id = disk
    if ring is not None and disk in ring.by_disk:
        found.name = ring.name_of(disk)
        found.address = view.addresses.get(disk, "")
    return found


def refused(reason: Reason) -> BecketError:
    """The error of a ``no`` that has nothing to do with where its key lies."""
    if reason is Reason.STALE_STAMP:
        return StaleStampError("the stamp is older than the records that are kept")
    if reason is Reason.OLD_NUMBER:
        return OldNumberError("the session has executed a later operation on this key")
    if reason is Reason.DEADLINE:
        return NotAppliedError("the deadline passed before it began")
    if reason is Reason.OVERLOADED:
        return OverloadedError("too much waits for this key", after_ms=OVERLOAD_PAUSE_MS)
    if reason is Reason.UNCONFIRMED:
        return NotAppliedError("no quorum confirmed the read before its deadline")
    return NotAppliedError(f"refused: {reason.name.lower()}")


def failed(status: status_pb2.Status) -> bytes:
    """The result of an operation that ended so: a ``kv.Result`` as bytes."""
    return kv.Result(status=status).SerializeToString()
