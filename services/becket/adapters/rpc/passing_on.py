"""Failed calls on their way through a process that only forwards them.

Owns how an answer of ours is told from a connection that failed, and how the status goes on. Must
not change what it passes on.
"""

from __future__ import annotations

from typing import Any, NoReturn

import grpc

_DETAILS = "grpc-status-details-bin"


def is_unreachable(error: grpc.aio.AioRpcError) -> bool:
    """Whether nobody answered: an answer of ours has details."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not _details(error)


async def pass_on(
    error: grpc.aio.AioRpcError, context: grpc.aio.ServicerContext[Any, Any]
) -> NoReturn:
    """End the call with the status as it was given, details and all."""
    await context.abort(error.code(), error.details() or "", _details(error))
    raise AssertionError("an aborted call goes on")


def _details(error: grpc.aio.AioRpcError) -> tuple[tuple[str, str | bytes], ...]:
    trailing = error.trailing_metadata() or ()
    return tuple((key, value) for key, value in trailing if key == _DETAILS)
