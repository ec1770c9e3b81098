"""The life of a service, and what its server bears: garbage, many connections, tools."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.runtime.contract import EXIT_ADDRESS, EXIT_FAILED, Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log
from tests.unit.runtime.sample import NAME, Sample, SampleSettings, hosted, until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)[:3] + b"\x04" + bytes(5)
"""How every HTTP/2 connection begins, with an empty SETTINGS frame."""
CONNECTIONS = 2000


async def number(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        answer = await stub.GetWeights(pb.GetWeightsRequest(), timeout=10)
        return int(answer.weights.number)


def target(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


async def test_the_order_of_a_life() -> None:
    async with hosted() as (_, sample):
        await until(lambda: len(sample.steps) == 2)
    assert sample.steps == [
        "start (not ready)",
        "run (ready)",
        "drain (not ready)",
        "close (not ready)",
    ]


async def test_while_a_service_drains_it_answers_and_its_loop_runs() -> None:
    answers: list[int] = []

    class Draining(Sample):
        async def drain(self) -> None:
            assert self.runtime.stopping.is_set()
            assert not self.failure.cancelled()
            answers.append(await number(self.runtime.address))

    async with hosted(Draining) as (host, _):
        await host.runtime.health.until_ready()
    assert answers == [7]


@pytest.mark.parametrize("step", ["start", "run"])
async def test_a_failure_ends_everything_at_once(step: str) -> None:
    host = Host("sample", SampleSettings(sample_fails=step), Sample, open_log("error", "json"))
    assert await host.run(asyncio.Event()) == EXIT_FAILED
    assert not host.runtime.health.ready
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(target(host.runtime.address)).close()


async def test_a_main_loop_that_fails_while_it_drains_ends_everything() -> None:
    async with asyncio.timeout(5):
        made: list[Sample] = []

        def build(runtime: Runtime) -> Sample:
            made.append(Sample(runtime))
            return made[0]

        settings = SampleSettings(sample_fails="hang", stop_grace_s=60)
        host = Host("sample", settings, build, open_log("error", "json"))
        stop = asyncio.Event()
        running = asyncio.create_task(host.run(stop))
        await host.runtime.health.until_ready()
        stop.set()
        await until(lambda: "drain (not ready)" in made[0].steps)
        made[0].failure.set_exception(OSError("the disk"))
        assert await running == EXIT_FAILED
    assert "close (not ready)" not in made[0].steps


async def test_a_service_that_returns_ends_in_order() -> None:
    host = Host("sample", SampleSettings(sample_fails="return"), Sample, open_log("error", "json"))
    assert await host.run(asyncio.Event()) == 0


async def test_a_taken_address_is_an_exit_code_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for settings in (
            SampleSettings(listen=listen),
            SampleSettings(http_listen=listen),
        ):
            host = Host("sample", settings, Sample, open_log("critical", "json"))
            assert await host.run(asyncio.Event()) == EXIT_ADDRESS


async def test_the_bound_addresses_are_announced(tmp_path: Path) -> None:
    file = tmp_path / "announced.json"
    async with hosted(announce_file=str(file), http_listen="127.0.0.1:0") as (host, _):
        told = json.loads(file.read_text())
        assert told["address"] == host.runtime.address
        assert told["http_address"] == host.runtime.http_address
        assert (told["service"], told["name"]) == ("sample", "local-0")
        assert await number(told["address"]) == 7
    assert os.listdir(tmp_path) == ["announced.json"]  # noqa: PTH208 - no temporary file is left


async def test_garbage_bytes_do_no_harm() -> None:
    rng = random.Random(5)
    async with hosted() as (host, _):
        for size in (1, 9, 100, 10_000, 300_000):
            reader, writer = await asyncio.open_connection(*target(host.runtime.address))
            writer.write(rng.randbytes(size))
            if size % 2:
                writer.write_eof()
            else:
                # A valid beginning, then garbage in place of frames.
                writer.write(PREFACE + rng.randbytes(size))
            try:
                async with asyncio.timeout(10):
                    while await reader.read(1 << 16):
                        pass
            except ConnectionError:
                pass
            writer.close()
        assert await number(host.runtime.address) == 7


async def test_two_thousand_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[socket.socket] = []
    try:
        async with hosted() as (host, _):
            for _ in range(CONNECTIONS):
                connection = socket.create_connection(target(host.runtime.address), timeout=10)
                connection.sendall(PREFACE)
                opened.append(connection)
            for connection in opened:
                # The server's SETTINGS: it has taken each of them.
                assert connection.recv(1)
            assert await number(host.runtime.address) == 7
            for connection in opened:
                connection.close()
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_reader_that_does_not_read_holds_up_nobody() -> None:
    written = 0

    class Flooding(Sample):
        async def WatchWeights(  # noqa: N802 - named by the proto
            self, _request: pb.WatchWeightsRequest, _context: object
        ) -> AsyncIterator[pb.WatchWeightsResponse]:
            nonlocal written
            wide = [pb.WideKey(key=bytes(1 << 16))]
            while True:
                yield pb.WatchWeightsResponse(weights=pb.Weights(wide_keys=wide))
                written += 1

    # A window that follows the measured bandwidth would grow with the speed of the machine.
    fixed = [("grpc.http2.bdp_probe", 0)]
    async with (
        hosted(Flooding) as (host, _),
        grpc.aio.insecure_channel(host.runtime.address, options=fixed) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        streams = [stub.WatchWeights(pb.WatchWeightsRequest()) for _ in range(10)]
        await streams[0].read()
        before = -1
        while before != written:  # the windows of HTTP/2 are full when nothing more goes out
            before = written
            for _ in range(20):
                assert await number(host.runtime.address) == 7
        assert written < 100
        for stream in streams:
            stream.cancel()


async def test_reflection_lists_the_services() -> None:
    assert await listed(reflection=True) == {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await listed(reflection=False)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def listed(*, reflection: bool) -> set[str]:
    async with (
        hosted(reflection=reflection) as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise AssertionError("no answer")
        call.cancel()
        return {service.name for service in answer.list_services_response.service}


async def test_before_its_stop_a_process_is_answered_while_routes_to_it_vanish() -> None:
    made: list[Sample] = []

    def build(runtime: Runtime) -> Sample:
        made.append(Sample(runtime))
        return made[0]

    settings = SampleSettings(pre_stop_s=600)
    host = Host("sample", settings, build, open_log("error", "json"))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    await host.runtime.health.until_ready()
    stop.set()
    await until(lambda: "drain (not ready)" in made[0].steps)
    assert await number(host.runtime.address) == 7
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def test_a_service_that_waits_to_be_made_can_be_stopped() -> None:
    begun = asyncio.Event()

    async def build(_runtime: Runtime) -> Sample:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing was waited for")

    host = Host("sample", SampleSettings(), build, open_log("error", "json"))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    await begun.wait()
    stop.set()
    assert await running == 0


async def test_a_service_may_take_its_time_to_be_made() -> None:
    async def build(runtime: Runtime) -> Sample:
        await asyncio.sleep(0)
        return Sample(runtime)

    stop = asyncio.Event()
    host = Host("sample", SampleSettings(), build, open_log("error", "json"))
    running = asyncio.create_task(host.run(stop))
    await host.runtime.health.until_ready()
    assert await number(host.runtime.address) == 7
    stop.set()
    assert await running == 0
