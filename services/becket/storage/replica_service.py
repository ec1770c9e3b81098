"""ReplicaService: what peers and the supervisor say to this member.

Owns the server's side of the streams. Must not judge messages: they go to the core under the
identity that the stream's hello has proven, and what the core answers goes back on the stream of
the question.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Protocol

import grpc

from becket.adapters.rpc.envelopes import envelope, messages_of
from becket.adapters.rpc.peers import (
    PeerMessageError,
    claim_from_proto,
    claim_reply_from_proto,
    claim_reply_to_proto,
)
from becket.adapters.rpc.rings import config_from_proto
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import replica_pb2_grpc as rpc
from becket.core.errors import InvalidInputError, WrongClusterError
from becket.core.replication.messages import ClaimReply, Message
from becket.core.replication.versions import Identity
from becket.core.ring.config import Config
from becket.storage.hellos import Hellos
from becket.storage.links import Links, Listener
from becket.storage.outboxes import Outbox


class Beats(Protocol):
    """Who takes the beats of peers."""

    def on_beat(self, sender: Identity, beat: pb.BeatRequest) -> None:
        """A beat has come; its claim is taken apart from this."""


class RingKeeper(Protocol):
    """Who keeps the ring."""

    @property
    def version(self) -> int:
        """The version of the ring that is kept; 0 for none."""

    @property
    def encoded(self) -> bytes:
        """The ring, byte for byte."""

    def offer(self, cluster: str, encoded: bytes) -> None:
        """Take a ring if it is newer; raises InvalidInputError, WrongClusterError."""

    def offer_configs(self, cluster: str, configs: list[tuple[int, Config]]) -> None:
        """Take single replica sets; raises WrongClusterError."""


Context = grpc.aio.ServicerContext[Any, Any]

Reports = Callable[[], AsyncIterator[pb.WatchMemberResponse]]
"""What this member sees and wishes: one message now, one after each change."""


class _Outlet:
    """Answers to one stream that a peer has opened."""

    def __init__(self, hello: pb.Hello) -> None:
        self._reads_in_requests = hello.reads_replies_in_requests
        self._said: tuple[object, ...] = ()
        self.outbox: Outbox[bytes] = Outbox()
        self.claims: Outbox[ClaimReply] = Outbox(limit=4)

    def put(self, entry: bytes) -> None:
        self.outbox.put(entry)

    def put_claim_reply(self, reply: ClaimReply) -> None:
        self.claims.put(reply)

    def may_wait(self, reply: ClaimReply) -> bool:
        said, self._said = self._said, (reply.except_, reply.level)
        is_wanted = reply.lease_us or reply.bounded or reply.unknown
        return self._reads_in_requests and not is_wanted and said == self._said

    def end(self) -> None:
        self.outbox.end()
        self.claims.end()


class ReplicaServicer(rpc.ReplicaServiceServicer):
    """The service."""

    def __init__(
        self, links: Links, listener: Listener, beats: Beats, keeper: RingKeeper, reports: Reports
    ) -> None:
        self._links = links
        self._hellos: Hellos = links.hellos
        self._listener = listener
        self._beats = beats
        self._keeper = keeper
        self._reports = reports

    async def Exchange(  # noqa: N802
        self, request_iterator: AsyncIterable[pb.ExchangeRequest], context: Context
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Ordering."""
        del context
        requests = aiter(request_iterator)
        peer, outlet = await self._open("exchange", requests)
        yield pb.ExchangeResponse(hello=self._hellos.say(peer.disk))
        async with self._reading("exchange", requests, peer, outlet):
            while entries := await outlet.outbox.take():
                yield pb.ExchangeResponse.FromString(envelope(entries))
                outlet.outbox.acked()

    async def Copy(  # noqa: N802
        self, request_iterator: AsyncIterable[pb.CopyRequest], context: Context
    ) -> AsyncIterator[pb.CopyResponse]:
        """Bulk."""
        del context
        requests = aiter(request_iterator)
        peer, outlet = await self._open("bulk", requests)
        yield pb.CopyResponse(hello=self._hellos.say(peer.disk))
        async with self._reading("bulk", requests, peer, outlet):
            while entries := await outlet.outbox.take():
                yield pb.CopyResponse.FromString(envelope(entries))
                outlet.outbox.acked()

    async def Beat(  # noqa: N802
        self, request_iterator: AsyncIterable[pb.BeatRequest], context: Context
    ) -> AsyncIterator[pb.BeatResponse]:
        """Signs of life and leases."""
        del context
        requests = aiter(request_iterator)
        peer, outlet = await self._open("beat", requests)
        yield pb.BeatResponse(hello=self._hellos.say(peer.disk))
        async with self._reading("beat", requests, peer, outlet):
            while replies := await outlet.claims.take():
                for reply in replies:
                    yield pb.BeatResponse(claim_reply=claim_reply_to_proto(reply))
                outlet.claims.acked()

    @contextlib.asynccontextmanager
    async def _reading(
        self, kind: str, requests: AsyncIterator[Any], peer: Identity, outlet: _Outlet
    ) -> AsyncIterator[None]:
        """Read questions beside the answering; when they end, so do the answers."""

        async def read() -> None:
            try:
                async for request in requests:
                    self._take(kind, peer, request)
            finally:
                outlet.end()

        self._links.opened(kind, peer.disk, outlet)
        reading = asyncio.create_task(read())
        try:
            yield
            await reading
        finally:
            self._links.gone(kind, peer.disk, outlet)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _take(self, kind: str, peer: Identity, request: Any) -> None:  # noqa: ANN401 - any of three
        if kind == "beat":
            self._listener.heard(peer)
            self._beats.on_beat(peer, request)
            said: list[Message] = []
            if request.HasField("claim_reply"):
                said.append(claim_reply_from_proto(request.claim_reply))
            if request.HasField("claim"):
                said.append(claim_from_proto(request.claim))
            if said:
                self._listener.receive(peer, said)
            return
        try:
            messages = messages_of(request.SerializeToString())
        except PeerMessageError as error:
            raise InvalidInputError("messages", str(error)) from error
        self._listener.receive(peer, messages)
        if kind == "exchange" and request.traceparents:
            self._listener.traced(request.traceparents, len(messages))

    async def _open(self, kind: str, requests: AsyncIterator[Any]) -> tuple[Identity, _Outlet]:
        first = await anext(requests, None)
        if first is None or not first.HasField("hello"):
            raise InvalidInputError(
                "hello", f"the first message of a stream ({kind}) must have one"
            )
        peer = self._hellos.check(first.hello)
        self._listener.heard(peer)
        self._listener.greeted(peer, first.hello)
        return peer, _Outlet(first.hello)

    async def OfferRing(  # noqa: N802
        self, request: pb.OfferRingRequest, context: Context
    ) -> pb.OfferRingResponse:
        """Take what is newer; give what is newer here."""
        del context
        offered = 0
        if request.encoded_ring:
            self._keeper.offer(request.cluster_id, request.encoded_ring)
            offered = self._keeper.version
        if request.configs:
            configs = [(c.partition, config_from_proto(c)) for c in request.configs]
            self._keeper.offer_configs(request.cluster_id, configs)
        answer = pb.OfferRingResponse(ring_version=self._keeper.version)
        if not request.encoded_ring or (offered and self._keeper.encoded != request.encoded_ring):
            answer.encoded_ring = self._keeper.encoded
        return answer

    async def WatchMember(  # noqa: N802
        self, request: pb.WatchMemberRequest, context: Context
    ) -> AsyncIterator[pb.WatchMemberResponse]:
        """What this member sees, until the caller goes."""
        del context
        own = self._hellos.cluster
        if request.cluster_id and own and request.cluster_id != own:
            raise WrongClusterError(f"this member belongs to {own}, not {request.cluster_id}")
        async for report in self._reports():
            yield report
