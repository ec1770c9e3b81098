"""The HTTP endpoint of a process: /live, /ready and /metrics, for whom gRPC is too much.

Owns the web server's life inside the process's own event loop. Must not install signal handlers
(the process has its own) nor serve anything that changes state. Invariants: the number of
connections, the size of a request and the time of an idle connection are bounded; /live answers
while the loop turns, which is what it says.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from becket.runtime.health import Health
from becket.runtime.settings import split_address

CONNECTIONS = 64
IDLE_S = 10
STOP_S = 1
HEADER_BYTES = 16 << 10

Exposition = Callable[[str], tuple[bytes, str]]
"""(Accept header) -> (metrics as text, its content type)."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class WebEndpoint:
    """Serves from ``open`` to ``close``; ``address`` is host:port with the real port."""

    def __init__(self, listen: str, health: Health, exposition: Exposition) -> None:
        self.address = ""
        self._listen = listen
        self._server = _Server(
            uvicorn.Config(
                _application(health, exposition),
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=STOP_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Bind and begin to serve. Raises OSError where the address cannot be had."""
        host, port = split_address(self._listen, "http_listen")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=CONNECTIONS)
        real = listener.getsockname()[1]
        self.address = f"[{host}]:{real}" if ":" in host else f"{host}:{real}"
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web")

    async def close(self) -> None:
        """Stop serving; takes little over a second even when a reader is slow."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None


def _application(health: Health, exposition: Exposition) -> Starlette:
    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        body = {"ready": health.ready, "reason": health.reason}
        return JSONResponse(body, status_code=200 if health.ready else 503)

    async def metrics(request: Request) -> Response:
        body, kind = exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind})

    return Starlette(
        routes=[
            Route("/live", live, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ]
    )
