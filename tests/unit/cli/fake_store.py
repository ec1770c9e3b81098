"""A store in memory behind the seam of the commands, with failures on demand.

Owns the fake. It keeps what was sent, so that a test can see what was not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from becket.cli.store import Consistency, Found, Item, Range, Routing
from becket.core.errors import BecketError, ConditionFailedError, NotACounterError


class FakeStore:
    """Entries by key. ``fail``: what every call raises; ``fail_at``: the keys that are refused."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Found] = {}
        self.fail: BecketError | None = None
        self.fail_at: dict[bytes, BecketError] = {}
        self.sent: list[Item] = []
        self.batches: list[int] = []
        self.asked: list[tuple[Consistency, float]] = []
        self.opened: list[tuple[str, float]] = []
        self.routing: Routing | None = None
        self._number = 0

    def opener(self) -> Callable[[str, float, Routing], object]:
        """In place of ``open_store``."""

        @asynccontextmanager
        async def open_store(
            target: str, timeout_s: float, routing: Routing
        ) -> AsyncIterator[FakeStore]:
            self.opened.append((target, timeout_s))
            self.routing = routing
            if self.fail is not None:
                raise self.fail
            yield self

        return open_store

    def _version(self) -> bytes:
        self._number += 1
        return b"v%d" % self._number

    def _set(self, item: Item) -> bytes:
        version = self._version()
        expire_ms = 4_102_444_800_000 if item.ttl_s else 0
        self.entries[item.key] = Found(item.key, item.value, version, expire_ms)
        return version

    async def get(
        self, key: bytes, *, consistency: Consistency, max_staleness_s: float
    ) -> Found | None:
        self.asked.append((consistency, max_staleness_s))
        return self.entries.get(key)

    async def put(self, item: Item, *, if_absent: bool = False, if_version: bytes = b"") -> bytes:
        self.sent.append(item)
        now = self.entries.get(item.key)
        if if_absent and now is not None:
            raise ConditionFailedError(now.version)
        if if_version and (now is None or now.version != if_version):
            raise ConditionFailedError(b"" if now is None else now.version)
        return self._set(item)

    async def delete(self, key: bytes, *, if_version: bytes = b"") -> bool:
        now = self.entries.get(key)
        if if_version and (now is None or now.version != if_version):
            raise ConditionFailedError(b"" if now is None else now.version)
        return self.entries.pop(key, None) is not None

    async def increment(self, key: bytes, delta: int) -> int:
        now = self.entries.get(key)
        if now is not None and not now.value.lstrip(b"-").isdigit():
            raise NotACounterError("the value is not a counter")
        value = int(now.value if now else b"0") + delta
        self._set(Item(key, b"%d" % value))
        return value

    async def put_many(self, items: Sequence[Item]) -> list[BecketError | None]:
        self.batches.append(len(items))
        results: list[BecketError | None] = []
        for item in items:
            error = self.fail_at.get(item.key)
            if error is None:
                self.sent.append(item)
                self._set(item)
            results.append(error)
        return results

    async def scan(self, wanted: Range) -> AsyncIterator[Found]:
        for key in sorted(self.entries):
            is_before_end = not wanted.end or key < wanted.end
            if key.startswith(wanted.prefix) and key >= wanted.start and is_before_end:
                found = self.entries[key]
                yield found._replace(value=b"") if wanted.keys_only else found
