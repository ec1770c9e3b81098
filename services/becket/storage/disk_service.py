"""DiskService: what the supervisor says to this member about its disk.

Owns the call's shape. Must not judge: whoever keeps the disk takes the word or raises why not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from becket.api.v1 import disk_pb2 as pb
from becket.api.v1 import disk_pb2_grpc as rpc
from becket.core.ring.config import Disk

Context = grpc.aio.ServicerContext[Any, Any]

GiveUp = Callable[[str, Disk], None]
"""Takes the word of a cluster that nobody needs a disk any more; raises as
``DamagedDisk.give_up``."""


class DiskServicer(rpc.DiskServiceServicer):
    """The service."""

    def __init__(self, give_up: GiveUp) -> None:
        self._give_up = give_up

    async def GiveUpDisk(  # noqa: N802
        self, request: pb.GiveUpDiskRequest, context: Context
    ) -> pb.GiveUpDiskResponse:
        """End this process, so that the next one begins with an empty disk."""
        del context
        self._give_up(request.cluster_id, request.disk_id)
        return pb.GiveUpDiskResponse()
