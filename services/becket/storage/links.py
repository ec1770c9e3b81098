"""The streams that this member opens to its peers, and what goes out on them.

Owns one link a peer: an exchange for ordering, a second stream for bulk, a third for beats, each
kept open and opened again when it broke. Answers come back on the stream of their question. A
closed stream is a hint to failure detection, never proof. Must not judge messages. Invariant: what
comes in is handed on under the identity that the stream's hello has proven.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import grpc

from becket.adapters.rpc.channels import (
    PEER_KEEPALIVE_MS,
    begin,
    is_asked_to_end,
    open_channel,
)
from becket.adapters.rpc.envelopes import envelope, messages_of, to_bytes
from becket.adapters.rpc.peers import (
    BULK,
    PeerMessageError,
    claim_reply_from_proto,
)
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import replica_pb2_grpc as rpc
from becket.core.errors import WrongClusterError
from becket.core.replication.messages import (
    Claim,
    ClaimReply,
    Message,
    Reply,
    Sent,
    WouldReply,
)
from becket.core.replication.versions import Identity
from becket.core.ring.config import Disk
from becket.storage.hellos import Hellos
from becket.storage.outboxes import Outbox

FIRST_PAUSE_S = 0.03
LONGEST_PAUSE_S = 0.5


class Listener(Protocol):
    """Who takes what the links bring."""

    def receive(self, sender: Identity, messages: Sequence[Message]) -> None:
        """Messages of a peer."""

    def traced(self, parents: Sequence[str], entries: int) -> None:
        """An envelope belongs to these sampled traces."""

    def heard(self, sender: Identity) -> None:
        """A sign of life of a peer."""

    def closed(self, disk: Disk) -> None:
        """A stream to this peer has broken."""

    def greeted(self, peer: Identity, hello: pb.Hello) -> None:
        """A peer has told of its ring and its address."""


class BeatSource(Protocol):
    """What goes out on the beat streams."""

    def request(self, peer: Disk, claim: Claim | None) -> pb.BeatRequest:
        """The next beat to a peer."""

    def go_along(self) -> None:
        """Claims go out: so may beats."""

    def reply(self, peer: Disk, reply: ClaimReply | None) -> None:
        """An answer that the next beat to a peer may take along; None: what waits is outdated."""


class Outlet(Protocol):
    """A stream that a peer has opened to this member, for answers to what came on it."""

    def put(self, entry: bytes) -> None:
        """Queue an answer."""

    def put_claim_reply(self, reply: ClaimReply) -> None:
        """Queue an answer to a claim."""

    def may_wait(self, reply: ClaimReply) -> bool:
        """Whether the peer loses nothing if this answer comes with the next beat to it."""


class Link:
    """The streams to one peer."""

    def __init__(self, links: Links, disk: Disk) -> None:
        self.disk = disk
        self.exchange: Outbox[bytes] = Outbox()
        self.bulk: Outbox[bytes] = Outbox()
        self.beats: Outbox[Claim | None] = Outbox(limit=4)
        self.traces: deque[str] = deque(maxlen=16)
        """The traces that entries on the exchange belong to."""
        self._links = links
        self._address = ""
        self._channel: grpc.aio.Channel | None = None
        self._incarnation = 0
        """The newest process of the peer that was heard of."""
        self._heard = asyncio.Event()
        """Set when there is a newer one, and replaced."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Keep the streams open until ``close``."""
        for run, outbox in (
            (self._exchange, self.exchange),
            (self._bulk, self.bulk),
            (self._beat, self.beats),
        ):
            task = asyncio.create_task(self._keep(run, outbox))
            task.add_done_callback(self._links.note_end)
            self._tasks.append(task)

    async def close(self) -> None:
        """End the streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    def redial(self, peer: Identity) -> None:
        """Leave the process before this one: its address may take packets and never answer.

        A pod that is made again has another address, and the machine of the one before may be gone
        without a word (KUBERNETES.md, nodes). Nobody waits any more either: what is given back to a
        member that has just started goes by these streams.
        """
        if peer.incarnation <= self._incarnation:
            return
        self._incarnation = peer.incarnation
        heard, self._heard = self._heard, asyncio.Event()
        heard.set()
        channel, self._channel = self._channel, None
        if channel is not None:
            self._links.end_soon(channel.close())

    async def _keep(self, run: Callable[[], Awaitable[None]], outbox: Outbox[Any]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            outbox.begun = False
            incarnation = self._incarnation
            try:
                await run()
            except (grpc.aio.AioRpcError, PeerMessageError, WrongClusterError, OSError) as error:
                self._links.note_error(self.disk, error)
            except asyncio.InvalidStateError as error:
                # A write has met a stream that ended a moment before: the peer has gone.
                self._links.note_error(self.disk, error)
            except asyncio.CancelledError as error:
                if is_asked_to_end():
                    raise
                # The peer has moved, and another of the streams has closed their channel.
                self._links.note_error(self.disk, error)
            if outbox.begun or self._incarnation != incarnation:
                pause = FIRST_PAUSE_S
            if outbox.begun:
                self._links.listener.closed(self.disk)
            # What was meant for the process that is gone says nothing to the next one.
            outbox.clear()
            heard = self._heard
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await heard.wait()
            pause = FIRST_PAUSE_S if heard.is_set() else min(2 * pause, LONGEST_PAUSE_S)

    async def _stub(self) -> rpc.ReplicaServiceAsyncStub:
        address = self._links.address_of(self.disk)
        if address is None:
            raise OSError(f"no address is known for {self.disk}")
        if self._channel is None or address != self._address:
            old, self._channel = (
                self._channel,
                open_channel(address, keepalive_ms=PEER_KEEPALIVE_MS),
            )
            self._address = address
            if old is not None:
                await old.close()
        return rpc.ReplicaServiceStub(self._channel)

    async def _exchange(self) -> None:
        call = (await self._stub()).Exchange()
        await begin(call, pb.ExchangeRequest(hello=self._links.hellos.say(self.disk)))
        async with self._reading(call, self.exchange, self._on_messages):
            while entries := await self.exchange.take():
                request = pb.ExchangeRequest.FromString(envelope(entries))
                if self.traces:
                    request.traceparents.extend(self.traces)
                    self.traces.clear()
                await call.write(request)

    async def _bulk(self) -> None:
        call = (await self._stub()).Copy()
        await begin(call, pb.CopyRequest(hello=self._links.hellos.say(self.disk)))
        async with self._reading(call, self.bulk, self._on_messages):
            while entries := await self.bulk.take():
                await call.write(pb.CopyRequest.FromString(envelope(entries)))

    async def _beat(self) -> None:
        call = (await self._stub()).Beat()
        await begin(call, pb.BeatRequest(hello=self._links.hellos.say(self.disk)))
        async with self._reading(call, self.beats, self._on_beat):
            while claims := await self.beats.take():
                claim = next((c for c in reversed(claims) if c is not None), None)
                await call.write(self._links.beats.request(self.disk, claim))

    @contextlib.asynccontextmanager
    async def _reading(
        self,
        call: grpc.aio.StreamStreamCall[Any, Any],
        outbox: Outbox[Any],
        on_response: Callable[[Identity, Any], None],
    ) -> AsyncIterator[None]:
        """Read answers beside the writing; when they end, so does ``outbox.take``."""
        first: Any = await call.read()
        if first is grpc.aio.EOF or not first.HasField("hello"):
            raise WrongClusterError(f"{self.disk} ended the stream without a hello")
        peer = self._links.hellos.check(first.hello, self.disk)
        self._incarnation = peer.incarnation
        self._links.listener.greeted(peer, first.hello)
        self._links.listener.heard(peer)

        async def read() -> None:
            try:
                while (response := await call.read()) is not grpc.aio.EOF:
                    outbox.acked()
                    on_response(peer, response)
            finally:
                outbox.end()

        outbox.begin()
        reading = asyncio.create_task(read())
        try:
            yield
            await reading
        finally:
            reading.cancel()
            call.cancel()
            # Whatever ended the reading has been told by the writing, or by the line above.
            await asyncio.gather(reading, return_exceptions=True)

    def _on_messages(self, peer: Identity, response: pb.ExchangeResponse | pb.CopyResponse) -> None:
        if response.messages:
            self._links.listener.receive(peer, messages_of(response.SerializeToString()))

    def _on_beat(self, peer: Identity, response: pb.BeatResponse) -> None:
        self._links.listener.heard(peer)
        if response.HasField("claim_reply"):
            self._links.listener.receive(peer, [claim_reply_from_proto(response.claim_reply)])


class Links:
    """The links to all peers, and the way back to those that have asked."""

    def __init__(
        self,
        hellos: Hellos,
        listener: Listener,
        beats: BeatSource,
        address_of: Callable[[Disk], str | None],
    ) -> None:
        self.hellos = hellos
        self.listener = listener
        self.beats = beats
        self.address_of = address_of
        self.trace = ""
        """The sampled trace that belongs to what is sent now; empty for none."""
        self.on_error: Callable[[Disk, BaseException], None] = _ignore
        self.on_fault: Callable[[BaseException], None] = _ignore_fault
        """Called with a failure that no stream may have: a bug, which must not go unseen."""
        self._links: dict[Disk, Link] = {}
        self._exchanges: dict[Disk, Outlet] = {}
        self._bulks: dict[Disk, Outlet] = {}
        self._beats: dict[Disk, Outlet] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def set_peers(self, disks: frozenset[Disk]) -> None:
        """Keep links to exactly these peers."""
        for disk in [disk for disk in self._links if disk not in disks]:
            self.end_soon(self._links.pop(disk).close())
        for disk in disks:
            if disk not in self._links:
                link = self._links[disk] = Link(self, disk)
                link.start()

    def redial(self, peer: Identity) -> None:
        """A process of this peer was heard: the link is to lead to it."""
        link = self._links.get(peer.disk)
        if link is not None:
            link.redial(peer)

    def end_soon(self, ending: Coroutine[None, None, None]) -> None:
        """Let something end beside what goes on; ``close`` waits for it."""
        task = asyncio.create_task(ending)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End every link."""
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), *self._closing)

    def note_error(self, disk: Disk, error: BaseException) -> None:
        """A stream broke: somebody may want to log why."""
        self.on_error(disk, error)

    def note_end(self, task: asyncio.Task[None]) -> None:
        """A task of a link has ended; but for ``close`` none ever should."""
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self.on_fault(error)

    @property
    def dropped(self) -> int:
        """Entries that found no room."""
        return sum(link.exchange.dropped + link.bulk.dropped for link in self._links.values())

    # Streams that peers have opened

    def opened(self, kind: str, disk: Disk, outlet: Outlet) -> None:
        """A peer has opened a stream: answers to what comes on it go back there."""
        self._table(kind)[disk] = outlet

    def gone(self, kind: str, disk: Disk, outlet: Outlet) -> None:
        """That stream has ended."""
        table = self._table(kind)
        if table.get(disk) is outlet:
            del table[disk]

    def _table(self, kind: str) -> dict[Disk, Outlet]:
        return {"exchange": self._exchanges, "bulk": self._bulks, "beat": self._beats}[kind]

    # Network

    def send(self, sent: Sequence[Sent]) -> None:
        """Queue each message on its stream; without a stream it is lost, as R10 allows."""
        last, entry, claims = None, b"", False
        for to, message in sent:
            if isinstance(message, Reply | WouldReply):
                self._answer(to, message)
            elif isinstance(message, ClaimReply):
                self._answer_claim(to, message)
            else:
                link = self._links.get(to)
                if link is None:
                    continue
                if isinstance(message, Claim):
                    link.beats.put(message)
                    claims = True
                    continue
                if message is not last:  # a message to several peers is put together once
                    last, entry = message, to_bytes(message)
                if isinstance(message, BULK):
                    link.bulk.put(entry)
                else:
                    link.exchange.put(entry)
                    if self.trace and self.trace not in link.traces:
                        link.traces.append(self.trace)

        if claims:
            self.beats.go_along()

    def _answer_claim(self, to: Disk, reply: ClaimReply) -> None:
        outlet, link = self._beats.get(to), self._links.get(to)
        if outlet is None:
            return
        if outlet.may_wait(reply) and link is not None and link.beats.is_open:
            self.beats.reply(to, reply)
        else:
            self.beats.reply(to, None)
            outlet.put_claim_reply(reply)

    def _answer(self, to: Disk, message: Reply | WouldReply) -> None:
        is_bulk = isinstance(message, Reply) and (message.keys or len(message.digests) > 1)
        table = self._bulks if is_bulk else self._exchanges
        outlet = table.get(to) or self._exchanges.get(to) or self._bulks.get(to)
        if outlet is not None:
            outlet.put(to_bytes(message))

    def beat(self, disks: Sequence[Disk]) -> None:
        """Send a beat to these peers at the next occasion."""
        for disk in disks:
            link = self._links.get(disk)
            if link is not None:
                link.beats.put(None)


def _ignore(_disk: Disk, _error: BaseException) -> None:
    """Until somebody wants to know."""


def _ignore_fault(_error: BaseException) -> None:
    """Until somebody wants to know."""
