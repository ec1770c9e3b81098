"""Whether a cluster serves: an operation on every partition, as any caller would make it.

Owns the trial. It reads one key of each partition, linearizably and through the router, and writes
nothing. What has to be so for an answer (a ring, coordinators, majorities) is not asked for: only
the answer counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.errors import from_status
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1.key_value_pb2_grpc import KeyValueServiceStub
from becket.cli.exits import NotRunningError
from becket.core.hashing import partition_of

if TYPE_CHECKING:
    from becket.api.v1.key_value_pb2_grpc import KeyValueServiceAsyncStub

_BATCH = 1000
_PAUSE_S = 0.05
_CALL_S = 2.0

AddressOf = Callable[[], str | None]
"""Where the router answers, None while that is not known."""


def trial_keys(partitions: int) -> list[bytes]:
    """One key for each partition."""
    found: dict[int, bytes] = {}
    number = 0
    while len(found) < partitions:
        key = b"becket/ready/%d" % number
        found.setdefault(partition_of(key, partitions), key)
        number += 1
    return [found[partition] for partition in sorted(found)]


async def until_ready(address_of: AddressOf, partitions: int, within_s: float) -> float:
    """Wait until every partition answers; the seconds that it took.

    :raises NotRunningError: it did not in time; says what stands in the way.
    """
    began = time.monotonic()
    left = trial_keys(partitions)
    problem = "no router has been started"
    while time.monotonic() - began < within_s:
        address = address_of()
        if address is not None:
            async with open_channel(address) as channel:
                left, problem = await _try(KeyValueServiceStub(channel), left)
            if not left:
                return time.monotonic() - began
        await asyncio.sleep(_PAUSE_S)
    served = f"{partitions - len(left)} of {partitions} partitions serve"
    raise NotRunningError(f"the cluster is not ready after {within_s:.0f} s: {served}; {problem}")


async def _try(stub: KeyValueServiceAsyncStub, keys: list[bytes]) -> tuple[list[bytes], str]:
    """The keys that were not answered, and why."""
    failed: list[bytes] = []
    problem = ""
    for first in range(0, len(keys), _BATCH):
        some = keys[first : first + _BATCH]
        batch = kv.BatchRequest(
            operations=[kv.Operation(get=kv.GetRequest(key=key)) for key in some]
        )
        try:
            answer = await stub.Batch(batch, timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            return failed + keys[first:], f"{error.code().name}: {error.details()}"
        for key, result in zip(some, answer.results, strict=True):
            if result.HasField("status"):
                failed.append(key)
                problem = str(from_status(result.status))
    return failed, problem
