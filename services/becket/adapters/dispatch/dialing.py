"""Reaching a lane's member: is it connected, and when is it dialled again.

Owns the back-off, and what ends it: where others have heard the member, waiting would only keep
callers from it. Must not know what is sent.
"""

from __future__ import annotations

import asyncio

import grpc

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.settings import DispatchSettings


class Dialing:
    """The channel to one address."""

    def __init__(self, address: str, pool: ChannelPool, settings: DispatchSettings) -> None:
        self._address = address
        self._pool = pool
        self._settings = settings
        self._channel = pool.get(address)
        self._backoff_us = 0
        self._hope = asyncio.Event()

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel as it is now; after a failure it may be another one."""
        return self._channel

    async def connect(self) -> bool:
        """Wait until the channel is connected: what is sent before that may be sent or not."""
        channel = self._channel
        try:
            async with asyncio.timeout(self._settings.connect_us / 1e6):
                state = channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state in (
                        grpc.ChannelConnectivity.TRANSIENT_FAILURE,
                        grpc.ChannelConnectivity.SHUTDOWN,
                    ):
                        return False
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError:
            return False
        except grpc.aio.UsageError:
            return False  # The channel was closed under us.
        return True

    def note_failure(self) -> None:
        """The member could not be reached, or its stream broke: the next pause is longer."""
        doubled = min(2 * self._backoff_us, self._settings.reconnect_most_us)
        self._backoff_us = max(self._settings.reconnect_least_us, doubled)

    def note_answer(self) -> None:
        """The member answers."""
        self._backoff_us = 0
        self._hope.clear()

    def hope(self) -> None:
        """Somebody has heard the member: it need not be waited for."""
        self._hope.set()

    async def pause(self) -> None:
        """Let the back-off pass, unless there is hope; never less than the shortest one."""
        least_us = self._settings.reconnect_least_us
        await asyncio.sleep(least_us / 1e6)
        try:
            async with asyncio.timeout(max(0, self._backoff_us - least_us) / 1e6):
                await self._hope.wait()
        except TimeoutError:
            return
        self._hope.clear()
        # A channel that has failed has a back-off of its own, which nobody can end.
        self._pool.forget(self._address)
        self._channel = self._pool.get(self._address)
