"""Redis Cluster: three masters and three replicas, by redis-py's asyncio client."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError

from becket.adapters.local.free_ports import choose_port
from bench.servers import MissingError, Server, environment, program, until

NODES = 6
NODE_TIMEOUT_MS = 1000
"""When a node counts as failed; the default of 15 s would leave a gap of 20 s."""
CONNECTIONS = 512


class Redis:
    """The cluster and its client."""

    # RuntimeError is what uvloop says where redis-py writes to a connection that has just broken,
    # AttributeError what redis-py says where it has dropped the writer of one meanwhile.
    failures: tuple[type[Exception], ...] = (
        RedisError,
        OSError,
        RuntimeError,
        AttributeError,
        TimeoutError,
    )

    def __init__(self) -> None:
        self._servers: dict[int, Server] = {}
        self._client: Any = None
        self._cli = ""

    async def start(self, folder: Path) -> None:
        """Start six and join them."""
        redis, self._cli = program("redis-server"), program("redis-cli")
        taken: set[int] = set()
        for number in range(NODES):
            port = choose_port(taken)
            bus = choose_port(taken | {port})
            taken |= {port, bus}
            own = folder / f"redis-{number}"
            own.mkdir()
            options = {
                "port": port,
                "cluster-port": bus,
                "bind": "127.0.0.1",
                "dir": own,
                "cluster-enabled": "yes",
                "cluster-node-timeout": NODE_TIMEOUT_MS,
                "appendonly": "yes",
                "appendfsync": "everysec",
                "save": "",
                "daemonize": "no",
            }
            argv = [redis]
            for name, value in options.items():
                argv += [f"--{name}", str(value)]
            self._servers[port] = Server(argv, folder / f"redis-{number}.log")
        for port, server in self._servers.items():
            server.wait_for_port(port)
        nodes = [f"127.0.0.1:{port}" for port in self._servers]
        made = self._ask("--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes")
        if "All 16384 slots covered" not in made:
            raise MissingError(f"redis-cli made no cluster: {made[-200:]}")
        for port in self._servers:
            until(
                "the cluster",
                lambda port=port: (
                    "cluster_state:ok" in self._ask("-p", str(port), "cluster", "info")
                ),
            )

    def _ask(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._cli, *arguments], capture_output=True, text=True, env=environment(), check=False
        )
        return done.stdout + done.stderr

    async def open(self) -> Redis:
        """Connect."""
        nodes = [ClusterNode("127.0.0.1", port) for port in self._servers]
        self._client = RedisCluster(
            startup_nodes=nodes, max_connections=CONNECTIONS, socket_timeout=5
        )
        await self._client.initialize()
        return self

    def pids(self) -> list[int]:
        """All that live."""
        return [server.pid for server in self._servers.values() if server.is_up]

    async def kill_one(self) -> None:
        """A master: the first three were made so."""
        next(iter(self._servers.values())).kill()

    async def stop(self) -> None:
        """Close and end."""
        if self._client is not None:
            await self._client.aclose()
        for server in self._servers.values():
            server.stop()

    def outcome_of(self, error: Exception) -> str:
        """Redis does not tell whether a write may have taken effect."""
        return type(error).__name__

    async def get(self, key: bytes) -> bytes | None:
        """GET."""
        value: bytes | None = await self._client.get(key)
        return value

    async def put(self, key: bytes, value: bytes) -> None:
        """SET."""
        await self._client.set(key, value)

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """A pipeline of GET."""
        pipeline = self._client.pipeline()
        for key in keys:
            pipeline.get(key)
        return sum(found is not None for found in await pipeline.execute())

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """A pipeline of SET."""
        pipeline = self._client.pipeline()
        for key in keys:
            pipeline.set(key, value)
        await pipeline.execute()

    async def scan(self, start: bytes, count: int) -> int:
        """There is no order of keys over a cluster."""
        del start, count
        raise MissingError("keys have no order there")
