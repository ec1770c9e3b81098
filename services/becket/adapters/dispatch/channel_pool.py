"""One channel to each address, shared by lanes, questions, watches and scans.

Owns the channels. Must not know what travels on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from becket.adapters.rpc.channels import open_channel

OpenChannel = Callable[[str], grpc.aio.Channel]


class ChannelPool:
    """Channels by address, opened when they are first asked for."""

    def __init__(self, open_one: OpenChannel = open_channel) -> None:
        self._open_one = open_one
        self._channels: dict[str, grpc.aio.Channel] = {}

    def get(self, address: str) -> grpc.aio.Channel:
        """The channel to host:port."""
        found = self._channels.get(address)
        if found is None:
            found = self._channels[address] = self._open_one(address)
        return found

    def forget(self, address: str) -> None:
        """Let the next call connect anew; the calls that are under way keep their channel."""
        self._channels.pop(address, None)

    async def drop(self, address: str) -> None:
        """Close the channel to an address that nobody has any more."""
        found = self._channels.pop(address, None)
        if found is not None:
            await found.close()

    async def close(self) -> None:
        """Close every channel."""
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(channel.close() for channel in channels))
