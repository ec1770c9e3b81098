"""The bound of any router: unary calls passed on by one stream, and nothing else.

Owns a server between the clients and the bare echo: what arrives while a message is being written
goes out in the next one, as a router's lanes gather. Bytes are passed through, nothing is looked
up, checked or stored. Run as a module it is that server: it is given the address of the echo, and
the file for the number of its port.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.echo import STREAM, UnaryEcho, serve, started
from bench.servers import Server

Asked = list[tuple[bytes, asyncio.Future[bytes]]]
"""What travels in one message, in its order."""


class _Relay(grpc.GenericRpcHandler):
    """Unary calls in, joined messages out. Make it in a running event loop."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stream: Any = self._channel.stream_stream(STREAM)()
        self._queued: Asked = []
        self._in_flight: deque[Asked] = deque()
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def service(self, _details: object) -> Any:  # noqa: ANN401 - gRPC's own
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, request: bytes, _context: object) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._queued.append((request, future))
        self._wake.set()
        return await future

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queued:
                asked, self._queued = self._queued, []
                self._in_flight.append(asked)
                await self._stream.write(b"".join(request for request, _ in asked))

    async def _read(self) -> None:
        while (answer := await self._stream.read()) is not grpc.aio.EOF:
            at = 0
            for request, future in self._in_flight.popleft():
                if not future.done():
                    future.set_result(answer[at : at + len(request)])
                at += len(request)


class RelayedEcho(UnaryEcho):
    """The unary echo, with a relay in between."""

    def __init__(self) -> None:
        super().__init__()
        self._relay: Server | None = None

    async def start(self, folder: Path) -> None:
        """Start both servers."""
        await super().start(folder)
        assert self._channel is not None
        await self._channel.close()
        self._relay, address = started("bench.relay", folder, self._address)
        self._channel = grpc.aio.insecure_channel(address)

    def pids(self) -> list[int]:
        """Both servers."""
        return super().pids() + ([self._relay.pid] if self._relay is not None else [])

    async def stop(self) -> None:
        """End both, the relay first."""
        if self._relay is not None:
            self._relay.stop()
        await super().stop()


async def _serve(address: str, port_file: Path) -> None:
    await serve(_Relay(address), port_file)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], Path(sys.argv[2])))
