"""Health: live and ready apart, watchers, and an end that is for good."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from becket.runtime.health import Health
from tests.unit.runtime.sample import NAME, Sample, hosted, until

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING


async def statuses(channel: grpc.aio.Channel) -> dict[str, int]:
    stub = health_pb2_grpc.HealthStub(channel)
    return {
        name: (await stub.Check(pb.HealthCheckRequest(service=name))).status
        for name in ("", "live", "ready", NAME)
    }


async def test_live_and_ready_are_apart() -> None:
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        await host.runtime.health.until_ready()
        assert set((await statuses(channel)).values()) == {SERVING}
        host.runtime.health.set_ready(ready=False, reason="no ring")
        assert await statuses(channel) == {
            "": SERVING,
            "live": SERVING,
            "ready": NOT_SERVING,
            NAME: NOT_SERVING,
        }


async def test_an_unknown_name_is_not_found() -> None:
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health_pb2_grpc.HealthStub(channel).Check(pb.HealthCheckRequest(service="x"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_sees_each_change_and_the_newest_state() -> None:
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        health = host.runtime.health
        health.set_ready(ready=False, reason="no ring")
        watch = health_pb2_grpc.HealthStub(channel).Watch(pb.HealthCheckRequest(service="ready"))
        assert (await watch.read()).status == NOT_SERVING
        health.set_ready(True)
        assert (await watch.read()).status == SERVING
        health.set_ready(False)
        health.set_ready(True)
        health.set_ready(False)
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_a_service_that_spoke_is_not_overruled() -> None:
    class Speaking(Sample):
        async def start(self, address: str) -> None:
            await super().start(address)
            self.runtime.health.set_ready(ready=False, reason="no ring")

    async with hosted(Speaking) as (host, sample):
        await until(lambda: "run (not ready)" in sample.steps)
        assert (host.runtime.health.ready, host.runtime.health.reason) == (False, "no ring")


async def test_who_stops_is_never_ready_again() -> None:
    health = Health()
    health.set_ready(True)
    waiting = asyncio.create_task(health.changed())
    await asyncio.sleep(0)
    health.stop()
    await waiting
    health.set_ready(True)
    assert (health.ready, health.reason) == (False, "stopping")
