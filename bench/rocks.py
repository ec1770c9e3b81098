"""The bound of a disk: RocksDB in this process, each call synced before it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from becket.adapters.engines.rocks import RocksEngine
from becket.ports.engine import EngineFailedError, Put
from bench.servers import MissingError

_END = b"\xff"


class Rocks:
    """The engine that members use, with their options."""

    failures: tuple[type[Exception], ...] = (EngineFailedError,)

    def __init__(self) -> None:
        self._engine: RocksEngine | None = None

    async def start(self, folder: Path) -> None:
        """Open an empty one."""
        self._engine = RocksEngine(folder / "rocks")

    async def open(self) -> Rocks:
        """It is its own client."""
        return self

    def pids(self) -> list[int]:
        """None but this one."""
        return []

    async def kill_one(self) -> None:
        """There is but one."""
        raise MissingError("there is nobody to take over")

    async def stop(self) -> None:
        """Close it."""
        if self._engine is not None:
            self._engine.close()

    def outcome_of(self, error: Exception) -> str:
        """All are the same here."""
        return type(error).__name__

    @property
    def _open(self) -> RocksEngine:
        assert self._engine is not None
        return self._engine

    async def get(self, key: bytes) -> bytes | None:
        """Read."""
        return self._open.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        """Write and sync."""
        self._open.apply([Put(key, value)])
        self._open.sync()

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """Read several."""
        return sum(self._open.get(key) is not None for key in keys)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """Write several with one sync."""
        self._open.apply([Put(key, value) for key in keys])
        self._open.sync()

    async def scan(self, start: bytes, count: int) -> int:
        """List."""
        return len(self._open.scan(start, _END, count))
