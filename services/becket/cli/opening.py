"""Opens the store of the commands for keys: the client library at the target.

Owns the translation between the two, and a quick no where nobody listens. Tests replace
``open_store``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from becket.cli import store
from becket.cli.calling import check_target
from becket.cli.exits import UnreachableError
from becket.cli.store import Found, Item, Range
from becket.client import values
from becket.client.client import Client
from becket.core.errors import BecketError, NotAppliedError

_LISTEN_S = 1.5
"""A router that is started again listens within this time."""
_PAUSE_S = 0.05


@asynccontextmanager
async def open_store(
    target: str, timeout_s: float, routing: store.Routing
) -> AsyncIterator[store.Store]:
    """The store at host:port; each call may take ``timeout_s``.

    :raises UnreachableError: nobody answers, or who answers knows no ring.
    """
    check_target(target)
    await _see_listener(target, min(_LISTEN_S, timeout_s))
    client = Client(target, timeout=timeout_s, routing=routing.value)
    try:
        await client.connect()
    except NotAppliedError as error:
        raise UnreachableError(f"{target} gives no access to a cluster: {error}") from error
    try:
        yield ClientStore(client)
    finally:
        await client.close()


async def _see_listener(target: str, within_s: float) -> None:
    """Raise UnreachableError where nobody listens: a person should not wait for a time limit."""
    host, _, port = target.rpartition(":")
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while True:
        try:
            async with asyncio.timeout_at(until):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError) as error:
            if loop.time() + _PAUSE_S < until:
                await asyncio.sleep(_PAUSE_S)
                continue
            problem = getattr(error, "strerror", None) or "no connection in time"
            raise UnreachableError(f"nobody answers at {target}: {problem}") from error
        writer.close()
        return


class ClientStore:
    """The client library as the commands use it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(
        self, key: bytes, *, consistency: store.Consistency, max_staleness_s: float
    ) -> Found | None:
        """Read."""
        level = values.Consistency(consistency.value)
        age_s = max_staleness_s if level is values.Consistency.BOUNDED else None
        entry = await self._client.get(key, consistency=level, max_staleness=age_s)
        return None if entry is None else _found(entry)

    async def put(self, item: Item, *, if_absent: bool = False, if_version: bytes = b"") -> bytes:
        """Write."""
        return await self._client.put(
            item.key,
            item.value,
            ttl=item.ttl_s or None,
            if_absent=if_absent,
            if_version=if_version or None,
        )

    async def delete(self, key: bytes, *, if_version: bytes = b"") -> bool:
        """Delete."""
        return await self._client.delete(key, if_version=if_version or None)

    async def increment(self, key: bytes, delta: int) -> int:
        """Add."""
        return await self._client.increment(key, delta)

    async def put_many(self, items: Sequence[Item]) -> list[BecketError | None]:
        """Write a batch."""
        operations = [values.Put(item.key, item.value, item.ttl_s or None) for item in items]
        answers = await self._client.batch(operations)
        return [answer if isinstance(answer, BecketError) else None for answer in answers]

    async def scan(self, wanted: Range) -> AsyncIterator[Found]:
        """List."""
        async for entry in self._client.scan(
            wanted.prefix, start=wanted.start, end=wanted.end, keys_only=wanted.keys_only
        ):
            yield _found(entry)


def _found(entry: values.Entry) -> Found:
    expire_ms = 0 if entry.expire_time is None else round(entry.expire_time.timestamp() * 1000)
    return Found(entry.key, entry.value, entry.version, expire_ms)
