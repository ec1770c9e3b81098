"""A cluster as a benchmark sees it: by the client library, or by a stock gRPC client.

Owns the two adapters to ``BenchStore``. Must not measure.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.rpc import status_pb2

from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.errors import from_status
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1.key_value_pb2_grpc import KeyValueServiceStub
from becket.client import values
from becket.client.client import Client
from becket.core.errors import BecketError, OutcomeUnknownError

UNKNOWN = "unknown"
NOT_DONE = "not done"


class ClientStore:
    """The client library."""

    failures: tuple[type[Exception], ...] = (BecketError,)

    def __init__(self, client: Client) -> None:
        self._client = client

    def outcome_of(self, error: Exception) -> str:
        """One of the three outcomes."""
        return UNKNOWN if isinstance(error, OutcomeUnknownError) else NOT_DONE

    async def get(self, key: bytes) -> bytes | None:
        """Read."""
        found = await self._client.get(key)
        return None if found is None else found.value

    async def put(self, key: bytes, value: bytes) -> None:
        """Write."""
        await self._client.put(key, value)

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """Read a batch."""
        answers = await self._client.batch([values.Get(key) for key in keys])
        return len(answers) - _refused(answers).count(None)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """Write a batch."""
        _refused(await self._client.batch([values.Put(key, value) for key in keys]))

    async def scan(self, start: bytes, count: int) -> int:
        """List."""
        found = 0
        async for _ in self._client.scan(start=start):
            found += 1
            if found >= count:
                break
        return found


def _refused(answers: list[values.Answer | BecketError]) -> list[values.Answer]:
    """The answers, none of which is an error.

    :raises BecketError: the first of those that are; an unknown outcome before all others.
    """
    good: list[values.Answer] = []
    errors: list[BecketError] = []
    for answer in answers:
        if isinstance(answer, BecketError):
            errors.append(answer)
        else:
            good.append(answer)
    if errors:
        unknown = [error for error in errors if isinstance(error, OutcomeUnknownError)]
        raise (unknown or errors)[0]
    return good


class StockStore:
    """A gRPC client as any language has one: unary calls to a router."""

    failures: tuple[type[Exception], ...] = (grpc.RpcError, BecketError)

    def __init__(self, address: str, timeout_s: float) -> None:
        self._channel = open_channel(address)
        self._stub = KeyValueServiceStub(self._channel)
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    def outcome_of(self, error: Exception) -> str:
        """One of the three outcomes: what was not told is unknown."""
        if isinstance(error, grpc.aio.AioRpcError) and error.code() in (
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNKNOWN,
        ):
            return UNKNOWN
        return UNKNOWN if isinstance(error, OutcomeUnknownError) else NOT_DONE

    async def get(self, key: bytes) -> bytes | None:
        """Read."""
        answer = await self._stub.Get(kv.GetRequest(key=key), timeout=self._timeout_s)
        return answer.entry.value if answer.HasField("entry") else None

    async def put(self, key: bytes, value: bytes) -> None:
        """Write."""
        await self._stub.Put(kv.PutRequest(key=key, value=value), timeout=self._timeout_s)

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """Read a batch."""
        asked = [kv.Operation(get=kv.GetRequest(key=key)) for key in keys]
        results = await self._batch(asked)
        return sum(result.get.HasField("entry") for result in results)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """Write a batch."""
        await self._batch([kv.Operation(put=kv.PutRequest(key=key, value=value)) for key in keys])

    async def _batch(self, operations: list[kv.Operation]) -> Sequence[kv.Result]:
        request = kv.BatchRequest(operations=operations)
        answer = await self._stub.Batch(request, timeout=self._timeout_s)
        for result in answer.results:
            if result.HasField("status"):
                raise from_status(_copy(result.status))
        return answer.results

    async def scan(self, start: bytes, count: int) -> int:
        """List one page."""
        request = kv.ScanRequest(start=start, page_size=count)
        return len((await self._stub.Scan(request, timeout=self._timeout_s)).entries)


def _copy(status: status_pb2.Status) -> status_pb2.Status:
    kept = status_pb2.Status()
    kept.CopyFrom(status)
    return kept
