"""What stands between the wire and every servicer: errors, limits, deadlines, the end of streams.

Owns the layers ``Errors`` and ``Admission``. Must not know any service. Invariants: no stack
trace reaches a caller; no unary call runs without a deadline; the number of calls and of streams
is bounded, and what is refused is refused before anything is done; health is always answered.

The cost of a unary call is two coroutines and no object but a timer, that only where the caller
brought no deadline; of a message in a stream, nothing.
"""

from __future__ import annotations

import asyncio
import secrets

import grpc
from grpc_status import rpc_status

from becket.adapters.interception import Call, Context, Layer
from becket.adapters.rpc.errors import internal_status, to_status
from becket.core.errors import BecketError, BugError, OverloadedError
from becket.runtime.health import SERVICE as HEALTH
from becket.runtime.logs import Log

UNARY_PAUSE_MS = 50
"""When to return after a refused call: about what a full server needs to get some room."""
STREAM_PAUSE_MS = 1000


class Errors(Layer):
    """Turns what a servicer raises into a status with details (DESIGN section 7)."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def wrap_unary(self, method: str, call: Call) -> Call:
        async def answered(request: object, context: Context) -> object:
            try:
                return await call(request, context)
            except (grpc.aio.AbortError, grpc.aio.UsageError, grpc.aio.InternalError):
                raise  # a status is sent already, or the caller has gone; gRPC tells them apart
            except BecketError as error:
                return await self._refuse(method, error, context)
            except Exception as error:  # noqa: BLE001 - the one place where anything may end
                return await self._fail(method, error, context)

        return answered

    wrap_stream = wrap_unary

    async def _refuse(self, method: str, error: BecketError, context: Context) -> object:
        if isinstance(error, BugError):
            self._log.error("bug", method=method, exc_info=error)
        return await context.abort_with_status(rpc_status.to_status(to_status(error)))

    async def _fail(self, method: str, error: Exception, context: Context) -> object:
        incident = secrets.token_hex(6)
        self._log.error("call_failed", method=method, incident=incident, exc_info=error)
        return await context.abort_with_status(rpc_status.to_status(internal_status(incident)))


class Admission(Layer):
    """Counts calls and streams, refuses those beyond the limits, gives deadlines, ends streams."""

    def __init__(self, *, max_unary: int, max_streams: int, default_deadline_ms: int) -> None:
        self.unary = 0
        """Unary calls at this moment."""
        self.refused = 0
        """Calls and streams refused since the start."""
        self._max_unary = max_unary
        self._max_streams = max_streams
        self._deadline_s = default_deadline_ms / 1000
        self._streams: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def streams(self) -> int:
        """Streams at this moment."""
        return len(self._streams)

    def wrap_unary(self, method: str, call: Call) -> Call:
        if method.startswith(f"{HEALTH}/"):
            return call

        async def admitted(request: object, context: Context) -> object:
            if self.unary >= self._max_unary:
                self.refused += 1
                raise OverloadedError("too many calls are in flight", after_ms=UNARY_PAUSE_MS)
            self.unary += 1
            try:
                if context.time_remaining() is not None:
                    return await call(request, context)
                return await self._timed(call, request, context)
            finally:
                self.unary -= 1

        return admitted

    async def _timed(self, call: Call, request: object, context: Context) -> object:
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:
                return await call(request, context)
        except TimeoutError:
            if not deadline.expired():
                raise
        text = f"the call brought no deadline and took over {self._deadline_s} s"
        return await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    def wrap_stream(self, method: str, call: Call) -> Call:
        limited = not method.startswith(f"{HEALTH}/")

        async def admitted(request: object, context: Context) -> object:
            if limited and len(self._streams) >= self._max_streams:
                self.refused += 1
                raise OverloadedError("too many streams are open", after_ms=STREAM_PAUSE_MS)
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            self._idle.clear()
            try:
                return await call(request, context)
            except asyncio.CancelledError:
                if task not in self._ended:
                    raise
                task.uncancel()
                return None  # the stream ends with OK
            finally:
                self._ended.discard(task)
                self._streams.discard(task)
                if not self._streams:
                    self._idle.set()

        return admitted

    async def end_streams(self, linger_s: float) -> int:
        """End the streams that are still open after ``linger_s`` with OK; returns their number.

        A service ends its own streams when it drains, after their last answer; what is left has
        nothing to lose by this, and would hold up the server's stop for the whole grace time.
        """
        try:
            async with asyncio.timeout(linger_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        left = [task for task in self._streams if not task.done()]
        self._ended.update(left)
        for task in left:
            task.cancel()
        return len(left)
