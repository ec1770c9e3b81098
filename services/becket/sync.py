"""``becket.sync.Client``: the client for programs without an event loop.

Owns a thread with an event loop, and the waiting for it. Every method is derived from the one of
``becket.Client`` that has its name: same arguments, same result, same errors, same words. Several
threads may use it at once; what they issue at the same time travels together.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from becket.adapters.dispatch.connection import Routing
from becket.adapters.dispatch.settings import DispatchSettings
from becket.client import client as asynchronous
from becket.client.values import Span
from becket.core.errors import NotAppliedError
from becket.core.limits import Limits

P = ParamSpec("P")
R = TypeVar("R")


def _waiting(
    method: Callable[Concatenate[asynchronous.Client, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], R]:
    """The method that waits for the answer of an asynchronous one."""

    def wait(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._wait(method(self._client, *args, **kwargs))

    functools.update_wrapper(wait, method)
    return wait


def _iterating(
    method: Callable[Concatenate[asynchronous.Client, P], AsyncIterator[R]],
) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """The iterator over what an asynchronous one gives; a page at a time is fetched ahead."""

    def iterate(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self._client, *args, **kwargs)
        try:
            while True:
                found = self._wait(_some(items))
                if not found:
                    return
                yield from found
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and not self.is_closed:
                self._wait(close())

    functools.update_wrapper(iterate, method)
    return iterate


_AHEAD = 256
"""So many items cross from the loop's thread at once."""


async def _some(items: AsyncIterator[R]) -> list[R]:
    found: list[R] = []
    async for item in items:
        found.append(item)
        if len(found) >= _AHEAD:
            break
    return found


class Client:
    """A connection to a cluster, for programs without an event loop.

    Takes what ``becket.Client`` takes. Use it as ``with Client("127.0.0.1:7400") as client``, or
    call ``connect`` and ``close``.
    """

    def __init__(
        self,
        *addresses: str,
        timeout: Span = asynchronous.DEFAULT_TIMEOUT_S,
        routing: Routing = "auto",
        zone: str = "",
        limits: Limits | None = None,
        dispatch: DispatchSettings | None = None,
    ) -> None:
        self._client = asynchronous.Client(
            *addresses,
            timeout=timeout,
            routing=routing,
            zone=zone,
            limits=limits,
            dispatch=dispatch,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    connect = _waiting(asynchronous.Client.connect)
    get = _waiting(asynchronous.Client.get)
    put = _waiting(asynchronous.Client.put)
    delete = _waiting(asynchronous.Client.delete)
    increment = _waiting(asynchronous.Client.increment)
    batch = _waiting(asynchronous.Client.batch)
    scan = _iterating(asynchronous.Client.scan)
    ring = _waiting(asynchronous.Client.ring)
    locate = _waiting(asynchronous.Client.locate)

    def close(self) -> None:
        """End the connection and the thread; calls that are under way end with what is known."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._client.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    @property
    def is_closed(self) -> bool:
        """Whether there is no connection: before ``connect`` and after ``close``."""
        return self._loop is None

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self, awaitable: Awaitable[R]) -> R:
        loop = self._running()
        if threading.current_thread() is self._thread:
            raise NotAppliedError("a blocking call from the client's own thread would never end")

        async def run() -> R:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return future.result()
        except BaseException:
            # Interrupted from outside: whoever waited has gone.
            future.cancel()
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), name="becket-client", daemon=True
                )
                self._thread.start()
            return self._loop


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
