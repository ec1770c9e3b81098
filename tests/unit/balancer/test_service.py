"""The balancer through its server, its clock in the hand of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from becket.adapters.rpc.errors import from_rpc_error
from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.balancer.service import BalancerService
from becket.balancer.settings import BalancerSettings
from becket.core.errors import InvalidInputError, OverloadedError
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log

SECOND = 1_000_000


@dataclass
class Balancer:
    """A balancer that looks when it is told to, at the time that it is told."""

    stub: balancer_pb2_grpc.BalancerServiceAsyncStub
    service: BalancerService
    host: Host
    clock: list[int]

    def look(self, passed_us: int = 0) -> None:
        self.clock[0] += passed_us
        self.service.look()

    async def weights(self) -> dict[str, float]:
        answer = await self.stub.GetWeights(pb.GetWeightsRequest())
        return {each.disk_id: round(each.weight, 3) for each in answer.weights.members}


@asynccontextmanager
async def balancing(**values: Any) -> AsyncIterator[Balancer]:  # noqa: ANN401 - settings
    clock = [1000 * SECOND]
    made: list[BalancerService] = []
    settings = BalancerSettings(**{"look_interval_ms": 7000, **values})

    def build(runtime: Runtime) -> BalancerService:
        made.append(BalancerService(runtime, settings, clock=lambda: clock[0]))
        return made[0]

    host = Host("balancer", settings, build, open_log("error", "json"))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    async with asyncio.timeout(30):
        await host.runtime.health.until_ready()
        async with grpc.aio.insecure_channel(host.runtime.address) as channel:
            yield Balancer(balancer_pb2_grpc.BalancerServiceStub(channel), made[0], host, clock)
        stop.set()
        assert await running == 0


def report(disk: str, latency_ms: int = 1, **figures: Any) -> pb.ReportLoadRequest:  # noqa: ANN401
    usual: dict[str, Any] = {"incarnation": 1, "in_flight": 3, "cpu_utilization": 0.5}
    request = pb.ReportLoadRequest(disk_id=disk, **{**usual, **figures})
    request.latency.FromMilliseconds(latency_ms)
    return request


async def tell(balancer: Balancer, *requests: pb.ReportLoadRequest) -> pb.ReportLoadResponse:
    """Report over a stream of its own; returns the last answer."""
    call = balancer.stub.ReportLoad()
    answer: Any = None
    for request in requests:
        await call.write(request)
        answer = await call.read()
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK
    assert isinstance(answer, pb.ReportLoadResponse)
    return answer


async def test_reports_become_weights() -> None:
    async with balancing() as balancer:
        assert await balancer.weights() == {}
        answer = await tell(balancer, report("disk-0"), report("disk-1", latency_ms=4))
        assert answer.next_report.ToMilliseconds() == 1000
        assert await balancer.weights() == {}
        balancer.look()
        assert await balancer.weights() == {"disk-0": 1.333, "disk-1": 0.667}


async def test_the_age_of_a_report_is_told_and_an_old_one_vanishes() -> None:
    async with balancing() as balancer:
        await tell(balancer, report("disk-0"))
        balancer.look(2 * SECOND)
        answer = await balancer.stub.GetWeights(pb.GetWeightsRequest())
        assert answer.weights.members[0].report_age.ToMilliseconds() == 2000
        balancer.look(60 * SECOND)
        assert await balancer.weights() == {}


async def test_an_older_incarnation_is_answered_and_ignored() -> None:
    async with balancing() as balancer:
        await tell(balancer, report("disk-0", incarnation=2), report("disk-1"))
        answer = await tell(balancer, report("disk-0", latency_ms=100, incarnation=1))
        assert answer.next_report.ToMilliseconds() == 1000
        balancer.look()
        assert await balancer.weights() == {"disk-0": 1.0, "disk-1": 1.0}


async def test_a_watcher_is_told_now_and_then_only_of_changes() -> None:
    async with balancing() as balancer:
        watch = balancer.stub.WatchWeights(pb.WatchWeightsRequest())
        numbers = [(await next_of(watch)).number]
        await tell(balancer, report("disk-0"), report("disk-1"))
        balancer.look()
        numbers.append((await next_of(watch)).number)
        balancer.look(SECOND)  # nothing new, only older
        await tell(balancer, report("disk-2"))
        balancer.look()
        weights = await next_of(watch)
        numbers.append(weights.number)
        assert numbers == [1, 2, 3]
        assert [each.disk_id for each in weights.members] == ["disk-0", "disk-1", "disk-2"]
        watch.cancel()


async def test_a_watcher_that_was_away_sees_the_newest() -> None:
    async with balancing() as balancer:
        watch = balancer.stub.WatchWeights(pb.WatchWeightsRequest())
        await next_of(watch)
        for number in range(5):
            await tell(balancer, report(f"disk-{number}"))
            balancer.service.look()
        seen = 0
        while seen < 6:
            seen = (await next_of(watch)).number
        assert seen == 6
        watch.cancel()


async def next_of(watch: Any) -> pb.Weights:  # noqa: ANN401 - a call of the library
    answer = await watch.read()
    assert isinstance(answer, pb.WatchWeightsResponse)
    return answer.weights


async def test_hot_keys_become_wide() -> None:
    async with balancing(load={"staleness_us": 1_500_000}) as balancer:
        hot = pb.HotKey(key=b"hot", reads_per_second=900, error_per_second=10)
        cool = pb.HotKey(key=b"cool", reads_per_second=900, error_per_second=890)
        await tell(balancer, report("disk-0", hot_keys=[hot, cool]))
        balancer.look()
        answer = await balancer.stub.GetWeights(pb.GetWeightsRequest())
        (wide,) = answer.weights.wide_keys
        assert (wide.key, wide.max_staleness.ToMilliseconds()) == (b"hot", 1500)


async def test_a_report_that_cannot_be_names_its_field() -> None:
    async with balancing() as balancer:
        call = balancer.stub.ReportLoad()
        await call.write(report("disk-0", cpu_utilization=7))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        error = from_rpc_error(raised.value)
        assert isinstance(error, InvalidInputError)
        assert error.field == "cpu_utilization"


async def test_members_are_bounded() -> None:
    async with balancing(load={"members": 1}) as balancer:
        await tell(balancer, report("disk-0"))
        call = balancer.stub.ReportLoad()
        await call.write(report("disk-1"))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert isinstance(from_rpc_error(raised.value), OverloadedError)


async def test_streams_end_with_ok_when_they_are_old() -> None:
    async with balancing(stream_age_s=0.3, stop_grace_s=0.2, default_deadline_ms=100) as balancer:
        watch = balancer.stub.WatchWeights(pb.WatchWeightsRequest())
        await next_of(watch)
        reports = balancer.stub.ReportLoad()
        await reports.write(report("disk-0"))
        await reports.read()
        assert await watch.code() is grpc.StatusCode.OK
        assert await reports.code() is grpc.StatusCode.OK


async def test_a_stream_that_says_nothing_is_ended() -> None:
    # Within the time after which the report itself would be forgotten.
    load = {"report_us": 10_000, "fade_us": 20_000, "keep_us": 0, "members": 2}
    async with balancing(load=load, look_interval_ms=20) as balancer:
        reports = balancer.stub.ReportLoad()
        await reports.write(report("disk-0"))
        await reports.read()
        assert await reports.code() is grpc.StatusCode.OK


async def test_it_is_ready_at_once_and_looks_by_itself() -> None:
    async with balancing(look_interval_ms=10) as balancer:
        watch = balancer.stub.WatchWeights(pb.WatchWeightsRequest())
        await next_of(watch)
        await tell(balancer, report("disk-0"))
        assert (await next_of(watch)).members[0].disk_id == "disk-0"
        watch.cancel()
        text = balancer.host.runtime.telemetry.exposition()[0].decode()
        assert 'becket_balancer_weight{becket_disk="disk-0"} 1.0' in text
        assert "becket_balancer_reports_total 1.0" in text


def test_settings_are_checked_across_groups() -> None:
    with pytest.raises(InvalidInputError, match="look_interval_ms"):
        BalancerSettings(look_interval_ms=8000)
    with pytest.raises(InvalidInputError, match=r"load\.spread"):
        BalancerSettings(load={"spread": 0.1})  # type: ignore[arg-type] # as from a file
