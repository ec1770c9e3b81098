"""Bad input to a cluster of real processes: a clear status with its field, and it goes on.

Starts real processes; sends traffic to addresses of this machine only, bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from collections.abc import Awaitable, Iterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from becket.adapters.local.directory import FileDirectory
from becket.adapters.local.layout import Layout
from becket.adapters.rpc.errors import from_rpc_error, from_status
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import key_value_pb2_grpc as rpc
from becket.core.errors import BecketError, InvalidInputError
from tests.probe.running import Running, cluster

MIB = 1 << 20
CONNECTIONS = 10_000
"""As many as a load test opens; fewer where this machine allows fewer files."""

CALLS = 1000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("bad") / "cluster"
    with cluster(folder, "--members", "3", "--partitions", "16") as found:
        yield found


@pytest.fixture(params=["router-0", "storage-0"])
def address(running: Running, request: pytest.FixtureRequest) -> str:
    """Both that serve the public interface."""
    found = FileDirectory(Layout(running.folder).addresses_file).address_of(request.param)
    assert found is not None
    return found


async def error_of(call: Awaitable[object]) -> BecketError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def goes_on(running: Running) -> None:
    """The cluster still serves a write and a read."""
    async with grpc.aio.insecure_channel(running.target) as channel:
        stub = rpc.KeyValueServiceStub(channel)
        await stub.Put(kv.PutRequest(key=b"still", value=b"here"), timeout=20)
        got = await stub.Get(kv.GetRequest(key=b"still"), timeout=20)
        assert got.entry.value == b"here"


async def test_fields_out_of_their_limits_are_named(running: Running, address: str) -> None:
    large = kv.Operation(put=kv.PutRequest(key=b"k", value=b"v" * MIB))
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = rpc.KeyValueServiceStub(channel)
        get = kv.Operation(get=kv.GetRequest(key=b"k"))
        for call, field in (
            (stub.Get(kv.GetRequest(key=b"")), "key"),
            (stub.Get(kv.GetRequest(key=b"k" * 4097)), "key"),
            (stub.Put(kv.PutRequest(key=b"k", value=b"v" * (MIB + 1))), "value"),
            (stub.Put(kv.PutRequest(key=b"k", ttl=Duration(seconds=-1))), "ttl"),
            (stub.Put(kv.PutRequest(key=b"k", if_version=b"garbage")), "if_version"),
            (stub.Get(kv.GetRequest(key=b"k", consistency=77)), "consistency"),  # type: ignore[arg-type]
            (stub.Batch(kv.BatchRequest(operations=[get] * 1001)), "operations"),
            (stub.Batch(kv.BatchRequest(operations=[large] * 5)), "operations"),
            (stub.Batch(kv.BatchRequest()), "operations"),
            (stub.Scan(kv.ScanRequest(page_size=1001)), "page_size"),
            (stub.Scan(kv.ScanRequest(page_token=b"made up by somebody")), "page_token"),
        ):
            error = await error_of(call)
            assert isinstance(error, InvalidInputError), f"{field}: {error!r}"
            assert error.field == field
    await goes_on(running)


async def test_a_token_of_another_filter_is_refused(running: Running) -> None:
    async with grpc.aio.insecure_channel(running.target) as channel:
        stub = rpc.KeyValueServiceStub(channel)
        for number in range(3):
            await stub.Put(kv.PutRequest(key=b"t%d" % number, value=b"v"))
        page = await stub.Scan(kv.ScanRequest(prefix=b"t", page_size=1))
        assert page.next_page_token
        other = kv.ScanRequest(prefix=b"u", page_size=1, page_token=page.next_page_token)
        error = await error_of(stub.Scan(other))
        assert isinstance(error, InvalidInputError)
        assert error.field == "page_token"


async def test_a_batch_on_a_stream_is_refused_and_the_stream_goes_on(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call = rpc.KeyValueServiceStub(channel).Pipeline()
        await call.write(kv.PipelineRequest(batch_id=1))
        bad = kv.Operation(get=kv.GetRequest(key=b""))
        await call.write(kv.PipelineRequest(batch_id=2, operations=[bad]))
        good = kv.Operation(get=kv.GetRequest(key=b"k", consistency=kv.CONSISTENCY_ANY))
        await call.write(kv.PipelineRequest(batch_id=3, operations=[good]))
        answers: dict[int, kv.PipelineResponse] = {}
        for _ in range(3):
            answer = await call.read()
            assert isinstance(answer, kv.PipelineResponse)
            answers[answer.batch_id] = answer
        assert isinstance(from_status(answers[1].status), InvalidInputError)
        refused = from_status(answers[2].status)
        assert isinstance(refused, InvalidInputError)
        assert refused.field == "operations[0].get.key"
        assert len(answers[3].results) == 1
        call.cancel()


async def test_a_client_of_a_newer_interface_is_understood(running: Running, address: str) -> None:
    """Fields that this version does not know are passed over; calls are UNIMPLEMENTED."""
    unknown = b"\xfa\x3f\x05later" + b"\x80\x40\x01"
    async with grpc.aio.insecure_channel(address) as channel:
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/becket.api.v1.KeyValueService/Get"
        )
        request = kv.GetRequest(key=b"k", consistency=kv.CONSISTENCY_ANY).SerializeToString()
        kv.GetResponse.FromString(await get(request + unknown))
        later: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/becket.api.v1.KeyValueService/Watch"
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await later(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await goes_on(running)


async def test_garbage_on_the_port_is_dropped(running: Running, address: str) -> None:
    host, _, port = address.rpartition(":")
    frame = struct.pack(">I", 1 << 23)[1:] + b"\x00\x00" + struct.pack(">I", 1) + b"x" * 1000
    for garbage in (
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 40,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(garbage)
            # It may have been thrown out before it has finished speaking.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/becket.api.v1.KeyValueService/Get"
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff\xff\xff")
    await goes_on(running)


async def test_ten_thousand_connections(running: Running) -> None:
    """Most do nothing at all; whoever calls is served all the same."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A local port each, on this side.
    count = min(CONNECTIONS, hard - 500)
    host, _, port = running.target.rpartition(":")
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets += [socket.create_connection((host, int(port)), timeout=30)]
        await goes_on(running)
    finally:
        for sock in sockets:
            sock.close()
    if count < CONNECTIONS:
        pytest.skip(f"{count} of {CONNECTIONS} connections were tried: the limit of open files")
    await goes_on(running)


async def test_a_thousand_calls_without_a_deadline(running: Running) -> None:
    async with grpc.aio.insecure_channel(running.target) as channel:
        stub = rpc.KeyValueServiceStub(channel)
        calls = [stub.Put(kv.PutRequest(key=b"d%d" % n, value=b"v")) for n in range(CALLS)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert not failed, f"{len(failed)} of {CALLS}: {failed[0]!r}"
    await goes_on(running)


async def test_a_slow_reader_holds_up_nobody(running: Running) -> None:
    """It asks for 64 MiB over a stream, and reads none of it."""
    async with grpc.aio.insecure_channel(running.target) as channel:
        stub = rpc.KeyValueServiceStub(channel)
        await stub.Put(kv.PutRequest(key=b"large", value=b"v" * MIB), timeout=20)
        call = stub.Pipeline()
        get = kv.Operation(get=kv.GetRequest(key=b"large"))
        sending = asyncio.create_task(send_all(call, get))
        await goes_on(running)
        sending.cancel()
        call.cancel()
    await goes_on(running)


async def send_all(
    call: grpc.aio.StreamStreamCall[kv.PipelineRequest, kv.PipelineResponse], get: kv.Operation
) -> None:
    for number in range(1, 65):
        await call.write(kv.PipelineRequest(batch_id=number, operations=[get]))
