"""A broken stream is opened again and hints at the end of its peer; a bug is never hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import replica_pb2 as pb
from becket.core.membership.settings import MembershipSettings
from becket.core.replication.messages import (
    Check,
    Claim,
    ClaimReply,
    ListKeys,
    Message,
    Sent,
)
from becket.core.replication.versions import Epoch, Identity
from becket.storage import links as module
from becket.storage.beats import Beats
from becket.storage.hellos import Hellos
from becket.storage.links import Link, Links

OWN = Identity("own", 1)
ANSWER = ClaimReply(7, 0, unknown=False, except_=(), clock_us=5, level=(), bounded=())
HEAD = (0, 1, Epoch(1, "own", 1), 5)


class Listening:
    """What the links report."""

    def __init__(self) -> None:
        self.closed_disks: list[str] = []
        self.again = asyncio.Event()

    def receive(self, sender: Identity, messages: Sequence[Message]) -> None:
        raise AssertionError((sender, messages))

    def traced(self, parents: Sequence[str], entries: int) -> None:
        raise AssertionError((parents, entries))

    def heard(self, sender: Identity) -> None:
        raise AssertionError(sender)

    def closed(self, disk: str) -> None:
        self.closed_disks.append(disk)

    def greeted(self, peer: Identity, hello: pb.Hello) -> None:
        raise AssertionError((peer, hello))


def links_of(listener: Listening) -> Links:
    beats = Beats(MembershipSettings(), OWN, RingView())
    return Links(Hellos(OWN), listener, beats, lambda _: None)


@pytest.mark.parametrize(
    "error",
    [
        OSError("refused"),
        asyncio.InvalidStateError("RPC already finished."),
        # What a call raises when its channel is closed: the peer has moved to another address, and
        # another of the three streams was the first to see it.
        asyncio.CancelledError("Channel is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_stream_that_breaks_is_opened_again(error: BaseException) -> None:
    listener = Listening()
    links = links_of(listener)
    told: list[BaseException] = []
    links.on_error = lambda _disk, failure: told.append(failure)
    links.on_fault = told.append
    link = Link(links, "peer")
    opened = 0
    again = asyncio.Event()

    async def run() -> None:
        nonlocal opened
        opened += 1
        if opened == 3:
            again.set()
            await asyncio.Event().wait()
        link.exchange.begin()
        raise error

    task = asyncio.create_task(link._keep(run, link.exchange))
    async with asyncio.timeout(10):
        await again.wait()
    task.cancel()
    assert told == [error, error]
    assert listener.closed_disks == ["peer", "peer"]


async def test_a_stream_that_never_opened_hints_at_nothing() -> None:
    listener = Listening()
    link = Link(links_of(listener), "peer")
    tried = asyncio.Event()

    async def run() -> None:
        tried.set()
        raise OSError("refused")

    task = asyncio.create_task(link._keep(run, link.exchange))
    async with asyncio.timeout(10):
        await tried.wait()
    await asyncio.sleep(0)
    task.cancel()
    assert listener.closed_disks == []


async def test_a_new_process_of_the_peer_that_is_heard_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 3600)
    link = Link(links_of(Listening()), "peer")
    tried = asyncio.Queue[None]()

    async def run() -> None:
        tried.put_nowait(None)
        raise OSError("refused")

    task = asyncio.create_task(link._keep(run, link.exchange))
    async with asyncio.timeout(10):
        await tried.get()
        for incarnation in (2, 3):
            await asyncio.sleep(0)
            link.redial(Identity("peer", incarnation))
            await tried.get()
    link.redial(Identity("peer", 3))
    await asyncio.sleep(0)
    assert tried.empty(), "it is no news"
    task.cancel()


async def test_a_failure_that_no_stream_may_have_is_reported() -> None:
    links = links_of(Listening())
    faults: list[BaseException] = []
    links.on_fault = faults.append
    link = Link(links, "peer")

    async def run() -> None:
        raise KeyError("a bug")

    task = asyncio.create_task(link._keep(run, link.exchange))
    task.add_done_callback(links.note_end)
    await asyncio.wait({task})
    assert [type(fault) for fault in faults] == [KeyError]


def body_of(entry: object) -> str | None:
    assert isinstance(entry, bytes)
    return pb.PeerMessage.FromString(entry).WhichOneof("body")


async def test_each_message_goes_on_its_own_stream() -> None:
    links = links_of(Listening())
    links.set_peers(frozenset({"peer"}))
    link = links._links["peer"]
    for stream in (link.exchange, link.bulk, link.beats):
        stream.clear()
    claim = Claim(1, 2, None, 0, 5, bounded=False)
    links.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    links.send(
        [
            Sent("peer", Check(*HEAD, None)),
            Sent("peer", ListKeys(*HEAD, None, (), None)),
            Sent("peer", claim),
            Sent("stranger", Check(*HEAD, None)),
        ]
    )
    waiting = [list(stream._entries) for stream in (link.exchange, link.bulk, link.beats)]
    exchanged, bulk, beats = waiting
    assert [body_of(entry) for entry in exchanged] == ["check"]
    assert [body_of(entry) for entry in bulk] == ["list_keys"]
    assert beats == [claim]
    assert list(link.traces) == [links.trace]
    await links.close()


class Closing:
    """A channel that counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


async def test_the_next_process_of_a_peer_is_dialled_anew_once() -> None:
    links = links_of(Listening())
    links.set_peers(frozenset({"peer"}))
    link, channel = links._links["peer"], Closing()
    link._channel = channel  # type: ignore[assignment]
    links.redial(Identity("peer", 2))
    links.redial(Identity("stranger", 2))
    assert link._channel is None
    link._channel = kept = Closing()  # type: ignore[assignment]
    links.redial(Identity("peer", 2))
    links.redial(Identity("peer", 1))
    await links.close()
    assert channel.closed == 1
    assert kept.closed == 1, "only when the link itself was closed"


class Outlet:
    """A stream that the peer has opened; ``patient``: its answers may wait."""

    def __init__(self, *, patient: bool) -> None:
        self.patient = patient
        self.claims: list[ClaimReply] = []

    def put(self, entry: bytes) -> None:
        raise AssertionError(entry)

    def put_claim_reply(self, reply: ClaimReply) -> None:
        self.claims.append(reply)

    def may_wait(self, reply: ClaimReply) -> bool:
        assert reply
        return self.patient


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
async def test_an_answer_waits_for_a_beat_only_where_one_will_go(
    *, patient: bool, is_open: bool
) -> None:
    links, outlet = links_of(Listening()), Outlet(patient=patient)
    links.beats = beats = Beats(MembershipSettings(), OWN, RingView())
    links._links["peer"] = link = Link(links, "peer")
    links.opened("beat", "peer", outlet)
    if is_open:
        link.beats.begin()
    links.send([Sent("peer", ANSWER)])
    waits = patient and is_open
    assert beats.request("peer", None).HasField("claim_reply") == waits
    assert bool(outlet.claims) != waits
    link.beats.end()
    links.send([Sent("peer", ANSWER._replace(id=8))])
    assert outlet.claims[-1].id == 8


async def test_an_answer_that_goes_at_once_takes_the_place_of_one_that_waits() -> None:
    links, outlet = links_of(Listening()), Outlet(patient=True)
    links.beats = beats = Beats(MembershipSettings(), OWN, RingView())
    links._links["peer"] = link = Link(links, "peer")
    links.opened("beat", "peer", outlet)
    link.beats.begin()
    links.send([Sent("peer", ANSWER)])
    outlet.patient = False
    links.send([Sent("peer", ANSWER._replace(id=8))])
    assert [each.id for each in outlet.claims] == [8]
    assert not beats.request("peer", None).HasField("claim_reply")
