"""What is compared: how a system is started fresh, reached, hurt and stopped.

Owns the interface and the list. Each system runs in a process of ``bench.measuring`` alone, so
that none has the memory or the threads of another in its client.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple, Protocol

from becket.cli.bench_driving import BenchStore


class System(Protocol):
    """One system. ``start`` raises ``MissingError`` where it cannot be had here."""

    async def start(self, folder: Path) -> None:
        """Start it with nothing in it; its files go into the folder."""
        ...

    async def open(self) -> BenchStore:
        """A client."""
        ...

    def pids(self) -> list[int]:
        """The processes that serve: their processor time is counted."""
        ...

    async def kill_one(self) -> None:
        """Kill one that orders writes, with SIGKILL."""
        ...

    async def stop(self) -> None:
        """End everything."""
        ...


class Listed(NamedTuple):
    """A system by its name. ``place``: module and class; ``title``: what stands in tables."""

    place: str
    title: str
    promise: str


SYSTEMS = {
    "echo": Listed("bench.echo:UnaryEcho", "bare unary echo", "the bound: a call, no data"),
    "stream": Listed("bench.echo:StreamEcho", "bare stream echo", "the bound: one stream"),
    "relay": Listed(
        "bench.relay:RelayedEcho", "bare echo by a relay", "the bound: a router, no data"
    ),
    "rocks": Listed("bench.rocks:Rocks", "RocksDB, synced", "the bound: one disk, no network"),
    "becket": Listed(
        "bench.becket_cluster:BecketByClient",
        "Becket, Python client",
        "3 copies, synced, linearizable",
    ),
    "becket-router": Listed(
        "bench.becket_cluster:BecketByRouter",
        "Becket, stock client by router",
        "3 copies, synced, linearizable",
    ),
    "becket-sync": Listed(
        "bench.becket_cluster:BecketBySync",
        "Becket, sync client",
        "3 copies, synced, linearizable",
    ),
    "redis": Listed(
        "bench.redis_cluster:Redis",
        "Redis Cluster, redis-py",
        "3 masters, 3 replicas; answers before it is copied or synced",
    ),
    "etcd": Listed("bench.etcd_cluster:Etcd", "etcd, gRPC", "3 copies, synced, linearizable"),
    "nats": Listed(
        "bench.nats_cluster:Nats", "NATS JetStream KV R3", "3 copies, not synced before it answers"
    ),
}


def make(name: str) -> System:
    """A system by its name."""
    module, _, kind = SYSTEMS[name].place.partition(":")
    system: System = getattr(importlib.import_module(module), kind)()
    return system
