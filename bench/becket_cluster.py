"""Becket: three members and three copies as ``becket up`` starts them, by three kinds of client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from becket import sync
from becket.adapters.local.layout import STORAGE, Layout
from becket.cli.bench_driving import BenchStore
from becket.cli.bench_stores import ClientStore, StockStore
from becket.client.client import Client
from bench.servers import MissingError

MEMBERS = "3"
TIMEOUT_S = 10.0
UP_S = 120.0


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=UP_S, check=False)


class _Cluster:
    """The cluster; processes of services that no operation passes are not counted."""

    services: tuple[str, ...] = (STORAGE,)

    def __init__(self) -> None:
        self._layout: Layout | None = None

    async def start(self, folder: Path) -> None:
        """``becket up``."""
        self._layout = Layout(folder / "becket")
        members = os.environ.get("BECKET_BENCH_MEMBERS", MEMBERS)
        argv = self._command("up", "--members", members, "--port", "0", "--detach")
        done = await asyncio.to_thread(_run, argv)
        if done.returncode:
            raise MissingError(f"becket up: {done.stderr.strip() or done.stdout.strip()}")

    def _command(self, name: str, *options: str) -> list[str]:
        assert self._layout is not None
        command = [sys.executable, "-m", "becket.cli", name, "--data", str(self._layout.folder)]
        return [*command, *options]

    @property
    def address(self) -> str:
        """The router's."""
        assert self._layout is not None
        return next(
            info.address
            for info in self._layout.read_processes().values()
            if info.service == "router"
        )

    def pids(self) -> list[int]:
        """The members, and the router where operations pass it."""
        if self._layout is None:
            return []
        processes = self._layout.read_processes().values()
        return [info.pid for info in processes if info.service in self.services]

    async def kill_one(self) -> None:
        """A member; each coordinates its share of the keys. The keeper starts it again."""
        assert self._layout is not None
        processes = self._layout.read_processes().values()
        os.kill(next(p.pid for p in processes if p.service == STORAGE), signal.SIGKILL)

    async def stop(self) -> None:
        """``becket down``."""
        if self._layout is not None:
            await asyncio.to_thread(_run, self._command("down"))


class BecketByClient(_Cluster):
    """By the Python client, straight to the members."""

    def __init__(self) -> None:
        super().__init__()
        self._client: Client | None = None

    async def open(self) -> BenchStore:
        """Connect."""
        self._client = Client(self.address, timeout=TIMEOUT_S)
        await self._client.connect()
        return ClientStore(self._client)

    async def stop(self) -> None:
        """Close and end."""
        if self._client is not None:
            await self._client.close()
        await super().stop()


class BecketByRouter(_Cluster):
    """By unary calls to the router."""

    services = (STORAGE, "router")

    def __init__(self) -> None:
        super().__init__()
        self._store: StockStore | None = None

    async def open(self) -> BenchStore:
        """Connect."""
        self._store = StockStore(self.address, TIMEOUT_S)
        return self._store

    async def stop(self) -> None:
        """Close and end."""
        if self._store is not None:
            await self._store.close()
        await super().stop()


class BecketBySync(BecketByClient):
    """By the sync client, from threads: ``bench.threads`` drives it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocking: sync.Client | None = None

    async def open(self) -> BenchStore:
        """Connect both: keys are loaded by the other one."""
        self.blocking = sync.Client(self.address, timeout=TIMEOUT_S)
        self.blocking.connect()
        return await super().open()

    async def stop(self) -> None:
        """Close and end."""
        if self.blocking is not None:
            self.blocking.close()
        await super().stop()
