"""Channels to other processes: every option in one place.

Owns what a channel may do by itself, which is next to nothing: a retry below the session would be a
second attempt that nobody has numbered (PROTOCOL R29), so there is no retry policy, no service
config and no transparent retry. Credentials come in here when there are any.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import grpc

Request = TypeVar("Request")

SLACK_BYTES = 1 << 20
"""What a message may carry beside the keys and values of a batch."""

PEER_KEEPALIVE_MS = 3_000


def message_bytes(batch_bytes: int) -> int:
    """The largest message of an interface whose batches hold ``batch_bytes`` of keys and values."""
    return 2 * batch_bytes + SLACK_BYTES


def open_channel(
    address: str, *, batch_bytes: int = 4 << 20, keepalive_ms: int = 10_000
) -> grpc.aio.Channel:
    """A channel to host:port; it connects when it is used, and again when it has to.

    Between members pings may come often (``PEER_KEEPALIVE_MS``); what stands between a client and
    the cluster may punish that.
    """
    limit = message_bytes(batch_bytes)
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            # A process that comes back is found within this time, not after seconds of back-off.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
            # A name that has moved to another address is asked for again soon (KUBERNETES.md).
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            # A machine that vanishes closes no connection.
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", keepalive_ms // 2),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ],
    )


async def begin(call: grpc.aio.StreamStreamCall[Request, Any], request: Request) -> None:
    """Write the first message of a stream.

    Where the channel is closed before the call's metadata has gone out, the library's ``write``
    waits for ever (tried on 1.85): so the end of the call is waited for as well.

    :raises asyncio.InvalidStateError: the call ended before it had begun.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note_end(_call: object) -> None:
        if not ended.done():
            ended.set_result(None)

    call.add_done_callback(note_end)
    writing = asyncio.ensure_future(call.write(request))
    try:
        await asyncio.wait({writing, ended}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
            return
    finally:
        if not writing.done():
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
    raise asyncio.InvalidStateError("the call ended before it had begun")


def is_asked_to_end() -> bool:
    """Whether somebody has cancelled the present task.

    A call whose channel is closed under it raises the same ``CancelledError``.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
