"""How fast a plain gRPC stream is between two processes: the bound of any copying.

Owns a server that takes a stream of bytes and forgets it, and the measurement. No protobuf, no
disk.
Run as a module it is the server: it listens on a free port and writes its number to a file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.echo import READY_S, serve
from bench.servers import Server, until

TAKE = "/bench.Sink/Take"
PIECE = 64 << 10


class _Handlers(grpc.GenericRpcHandler):
    def service(self, _details: Any) -> Any:  # noqa: ANN401 - gRPC's own
        return grpc.stream_unary_rpc_method_handler(_take)


async def _take(requests: AsyncIterator[bytes], _context: object) -> bytes:
    total = 0
    async for request in requests:
        total += len(request)
    return str(total).encode()


async def stream_rate(folder: Path, seconds: float) -> float:
    """Bytes a second that one stream carries, in messages of 64 KiB."""
    port_file = folder / "sink-port"
    argv = [sys.executable, "-m", "bench.sink", str(port_file)]
    server = Server(argv, folder / "sink.log")
    try:
        until("the sink", lambda: port_file.exists() and port_file.read_text(), READY_S)
        address = f"127.0.0.1:{port_file.read_text()}"
        piece = bytes(PIECE)
        async with grpc.aio.insecure_channel(address) as channel:
            call: Any = channel.stream_unary(TAKE)()
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                await call.write(piece)
            await call.done_writing()
            taken = int(await call)
            return taken / (time.perf_counter() - began)
    finally:
        server.stop()


if __name__ == "__main__":
    uvloop.run(serve(_Handlers(), Path(sys.argv[1])))
