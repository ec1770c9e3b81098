"""What travels on a lane: operations that belong together, and who hears what became of them.

Owns the shape alone. Invariant: a parcel hears exactly one of ``on_results``, ``on_refused`` and
``on_lost``, unless it is withdrawn before it was sent.
"""

from __future__ import annotations

from enum import Enum

from google.rpc import status_pb2

from becket.api.v1 import key_value_pb2 as kv


class Parcel:
    """Operations of one call, or reads of one caller, on their way to one member.

    ``keys``: those of its operations. ``patience_us``: how long the member may work on it, 0 where
    the member is to decide. ``alone``: nothing else may be in its batch.
    """

    __slots__ = (
        "alone",
        "keys",
        "look_us",
        "operations",
        "patience_us",
        "put_us",
        "size",
        "state",
        "writes",
    )

    def __init__(
        self, operations: list[kv.Operation], keys: list[bytes], size: int, *, writes: bool
    ) -> None:
        self.operations = operations
        self.keys = keys
        self.size = size
        self.writes = writes
        self.patience_us = 0
        self.alone = False
        self.put_us = 0
        self.look_us = 0
        """When to look at it, if it still waits then."""
        self.state = ParcelState.NEW

    def on_results(self, results: list[kv.Result]) -> None:
        """The member's results, one for each operation."""
        raise NotImplementedError

    def on_refused(self, status: status_pb2.Status, *, company: bool) -> None:
        """The batch was refused as a whole; ``company``: others were in it."""
        raise NotImplementedError

    def on_lost(self, *, sent: bool) -> None:
        """No answer will come; where not ``sent``, nothing has left this process."""
        raise NotImplementedError

    def on_waiting(self, age_us: int) -> int:
        """It has waited for so long since it was put into the lane.

        Returns the age at which to look again, unless there are news before.
        """
        raise NotImplementedError


class ParcelState(Enum):
    """Where a parcel is."""

    NEW = "new"
    QUEUED = "queued"
    SENT = "sent"
    OVER = "over"
