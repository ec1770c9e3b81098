"""The bound of any call: a gRPC server that sends back what it got, and does nothing else.

Owns server and clients, unary and by one stream, without protobuf: bytes are passed through. Run as
a module it is the server: it listens on a free port and writes its number to the file it is given.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.servers import MissingError, Server, until

UNARY, STREAM = "/bench.Echo/Unary", "/bench.Echo/Stream"
READY_S = 15.0


class _Handlers(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:  # noqa: ANN401 - gRPC's own
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(_unary)
        return grpc.stream_stream_rpc_method_handler(_stream)


async def _unary(request: bytes, _context: object) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve(handlers: grpc.GenericRpcHandler, port_file: Path) -> None:
    """Serve on a free port, whose number goes to the file, until the process ends."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    port_file.write_text(str(port))  # noqa: ASYNC240 - nothing is served yet
    await server.wait_for_termination()


def started(module: str, folder: Path, *arguments: str) -> tuple[Server, str]:
    """Run a module that serves by ``serve``; the process, and where it listens.

    :raises MissingError: it does not in time.
    """
    port_file = folder / f"{module}.port"
    argv = [sys.executable, "-m", module, *arguments, str(port_file)]
    server = Server(argv, folder / f"{module}.log")
    until(module, lambda: port_file.exists() and port_file.read_text(), READY_S)
    return server, f"127.0.0.1:{port_file.read_text()}"


class _Echo:
    """The server, and what both clients have in common."""

    failures: tuple[type[Exception], ...] = (grpc.RpcError,)

    def __init__(self) -> None:
        self._server: Server | None = None
        self._channel: grpc.aio.Channel | None = None
        self._value = b""
        self._address = ""

    async def start(self, folder: Path) -> None:
        """Start the server."""
        self._server, self._address = started("bench.echo", folder)
        self._channel = grpc.aio.insecure_channel(self._address)

    def pids(self) -> list[int]:
        """The server."""
        return [self._server.pid] if self._server is not None else []

    async def kill_one(self) -> None:
        """There is but one."""
        raise MissingError("there is nobody to take over")

    async def stop(self) -> None:
        """End it."""
        if self._channel is not None:
            await self._channel.close()
        if self._server is not None:
            self._server.stop()

    def outcome_of(self, error: Exception) -> str:
        """All are the same here."""
        return type(error).__name__

    async def call(self, payload: bytes) -> bytes:
        """Send and get back."""
        raise NotImplementedError

    async def get(self, key: bytes) -> bytes | None:
        """The last value, as if it were the key's."""
        del key
        return await self.call(self._value)

    async def put(self, key: bytes, value: bytes) -> None:
        """Send a value."""
        del key
        self._value = value
        await self.call(value)

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """As many bytes in one call."""
        await self.call(self._value * len(keys))
        return len(keys)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """As many bytes in one call."""
        self._value = value
        await self.call(value * len(keys))

    async def scan(self, start: bytes, count: int) -> int:
        """As many bytes in one call."""
        del start
        await self.call(self._value * count)
        return count


class UnaryEcho(_Echo):
    """One call for each operation."""

    async def open(self) -> UnaryEcho:
        """Its client."""
        assert self._channel is not None
        self._call: Any = self._channel.unary_unary(UNARY)
        return self

    async def call(self, payload: bytes) -> bytes:
        """One unary call."""
        answer: bytes = await self._call(payload)
        return answer


class StreamEcho(_Echo):
    """One stream for all; answers come in the order of what was sent."""

    async def open(self) -> StreamEcho:
        """Its client."""
        assert self._channel is not None
        self._stream: Any = self._channel.stream_stream(STREAM)()
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._queued: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        return self

    async def call(self, payload: bytes) -> bytes:
        """Queue, and wait for the answer."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._queued.append(payload)
        self._wake.set()
        return await future

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queued:
                await self._stream.write(self._queued.popleft())

    async def _read(self) -> None:
        while (answer := await self._stream.read()) is not grpc.aio.EOF:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(answer)

    async def stop(self) -> None:
        """End it."""
        for task in getattr(self, "_tasks", ()):
            task.cancel()
        await super().stop()


if __name__ == "__main__":
    uvloop.run(serve(_Handlers(), Path(sys.argv[1])))
