"""NATS JetStream: a key-value bucket with three replicas, by nats-py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import KeyNotFoundError

from becket.adapters.local.free_ports import choose_port
from bench.servers import MissingError, Server, program

MEMBERS = 3
BUCKET = "bench"
READY_S = 30.0
_LOOK_S = 0.2


class Nats:
    """The cluster and its client."""

    failures: tuple[type[Exception], ...] = (NatsError, OSError, TimeoutError)

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._ports: dict[str, int] = {}
        self._client: Any = None
        self._stream: Any = None
        self._bucket: Any = None

    async def start(self, folder: Path) -> None:
        """Start three."""
        server = program("nats-server")
        taken: set[int] = set()
        routes = {}
        for number in range(MEMBERS):
            name = f"n{number}"
            self._ports[name] = choose_port(taken)
            taken.add(self._ports[name])
            routes[name] = choose_port(taken)
            taken.add(routes[name])
        all_routes = ", ".join(f"nats://127.0.0.1:{port}" for port in routes.values())
        for name, port in self._ports.items():
            file = folder / f"{name}.conf"
            file.write_text(
                f"server_name: {name}\nlisten: 127.0.0.1:{port}\n"
                f'jetstream {{ store_dir: "{folder / name}" }}\n'
                f"cluster {{ name: bench, listen: 127.0.0.1:{routes[name]}, "
                f"routes: [{all_routes}] }}\n"
            )
            self._servers[name] = Server([server, "-c", str(file)], folder / f"{name}.log")
        for name, process in self._servers.items():
            process.wait_for_port(self._ports[name])

    async def open(self) -> Nats:
        """Connect, and make the bucket as soon as the members have found each other."""
        addresses = [f"nats://127.0.0.1:{port}" for port in self._ports.values()]
        self._client = await nats.connect(addresses, max_reconnect_attempts=-1, error_cb=_quiet)
        self._stream = self._client.jetstream(timeout=5)
        config = KeyValueConfig(bucket=BUCKET, replicas=MEMBERS, storage=StorageType.FILE)
        try:
            async with asyncio.timeout(READY_S):
                while self._bucket is None:
                    try:
                        self._bucket = await self._stream.create_key_value(config=config)
                    except (NatsError, TimeoutError):
                        await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise MissingError(f"no bucket could be made in {READY_S:g} s") from None
        return self

    def pids(self) -> list[int]:
        """All that live."""
        return [server.pid for server in self._servers.values() if server.is_up]

    async def kill_one(self) -> None:
        """The leader of the bucket's stream."""
        info = await self._stream.stream_info(f"KV_{BUCKET}")
        self._servers[info.cluster.leader].kill()

    async def stop(self) -> None:
        """Close and end."""
        if self._client is not None:
            await self._client.close()
        for server in self._servers.values():
            server.stop()

    def outcome_of(self, error: Exception) -> str:
        """NATS does not tell whether a write may have taken effect."""
        return type(error).__name__

    async def get(self, key: bytes) -> bytes | None:
        """Get."""
        try:
            entry = await self._bucket.get(key.decode())
        except KeyNotFoundError:
            return None
        value: bytes | None = entry.value
        return value

    async def put(self, key: bytes, value: bytes) -> None:
        """Put."""
        await self._bucket.put(key.decode(), value)

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """There are no batches: all at once."""
        found = await asyncio.gather(*(self.get(key) for key in keys))
        return len(found) - found.count(None)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """There are no batches: all at once."""
        await asyncio.gather(*(self.put(key, value) for key in keys))

    async def scan(self, start: bytes, count: int) -> int:
        """There is no order of keys."""
        del start, count
        raise MissingError("keys have no order there")


async def _quiet(_error: Exception) -> None:
    """A lost connection is found again; calls that fail say so themselves."""
