"""What the commands for keys need of a client, and the client library in that place.

Owns the seam: tests put a fake in place of ``open_store``. Must not retry or split anything: the
client does what may be done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from becket.core.errors import BecketError


class Consistency(StrEnum):
    """How fresh a read must be."""

    LINEARIZABLE = "linearizable"
    BOUNDED = "bounded"
    ANY = "any"


class Routing(StrEnum):
    """Who is asked: members, or the target alone."""

    AUTO = "auto"
    ROUTER = "router"
    DIRECT = "direct"


class Found(NamedTuple):
    """An entry as it was read. ``expire_ms``: wall time, 0 for never."""

    key: bytes
    value: bytes
    version: bytes
    expire_ms: int = 0


class Item(NamedTuple):
    """An entry that is to be written. ``ttl_s`` 0: for ever."""

    key: bytes
    value: bytes
    ttl_s: float = 0.0


@dataclass(frozen=True)
class Range:
    """Which keys: all that begin with ``prefix``, from ``start`` on and before ``end``."""

    prefix: bytes = b""
    start: bytes = b""
    end: bytes = b""
    keys_only: bool = False


class Store(Protocol):
    """Keys and values. Every call raises a BecketError that says which of three outcomes it is."""

    async def get(
        self, key: bytes, *, consistency: Consistency, max_staleness_s: float
    ) -> Found | None:
        """The entry; None where the key is absent."""
        ...

    async def put(self, item: Item, *, if_absent: bool = False, if_version: bytes = b"") -> bytes:
        """Write; the new version."""
        ...

    async def delete(self, key: bytes, *, if_version: bytes = b"") -> bool:
        """Delete; whether the key was there."""
        ...

    async def increment(self, key: bytes, delta: int) -> int:
        """Add to a counter; its value then."""
        ...

    async def put_many(self, items: Sequence[Item]) -> list[BecketError | None]:
        """Write a batch; for each item None or why it was not done for certain."""
        ...

    def scan(self, wanted: Range) -> AsyncIterator[Found]:
        """Entries in the order of their keys."""
        ...


class Opener(Protocol):
    """Opens a store; tests put another one in place."""

    def __call__(
        self, target: str, timeout_s: float, routing: Routing
    ) -> AbstractAsyncContextManager[Store]:
        """The store at host:port; each call of it may take ``timeout_s``."""
        ...
