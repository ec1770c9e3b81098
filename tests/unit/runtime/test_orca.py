"""Load reports in trailers: what they say, and what a stock gRPC client makes of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.api.v1.orca_pb2 import OrcaLoadReport
from becket.runtime.orca import TICK_S, TRAILER, LoadMeter
from tests.unit.runtime.sample import Context, Sample, hosted, until

ROUND_ROBIN: dict[str, dict[str, object]] = {"round_robin": {}}
WEIGHTED: dict[str, dict[str, object]] = {
    "weighted_round_robin": {
        "blackoutPeriod": "0s",
        "weightUpdatePeriod": "0.1s",
        "weightExpirationPeriod": "60s",
    }
}


def test_utilization_is_the_mean_number_of_calls_that_are_here() -> None:
    meter = LoadMeter()
    meter.look(meter._at_s + 1, meter._cpu_s)
    # 100 calls a second of 20 ms each are two at a time; 10 ms before the loop turns are one more.
    for _ in range(60):
        meter._ended, meter._spent_s = 100, 2.0
        meter.note_wait(0.010)
        meter.look(meter._at_s + 1, meter._cpu_s + 0.25)
    report = OrcaLoadReport.FromString(meter.trailers[0][1])
    assert report.application_utilization == pytest.approx(3.0, rel=0.01)
    assert report.rps_fractional == pytest.approx(100, rel=0.01)
    assert report.cpu_utilization == pytest.approx(0.25, rel=0.01)


def test_a_loop_that_stood_still_counts_for_every_tick_that_it_missed() -> None:
    meter = LoadMeter()
    meter.note_wait(10 * TICK_S)
    assert meter._waits == 11
    # From ten ticks late down to none: five on average.
    assert meter._waited_s / meter._waits == pytest.approx(5 * TICK_S)


class FakeContext:
    """Remembers trailers; the core of gRPC shows this one to no client."""

    def __init__(self) -> None:
        self.trailers: tuple[tuple[str, bytes], ...] = ()

    def set_trailing_metadata(self, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self.trailers = trailers


async def test_every_answer_carries_the_newest_report_and_health_carries_none() -> None:
    meter = LoadMeter()
    meter.shares = lambda: {"disk": 0.5}

    async def answer(_request: object, _context: object) -> str:
        return "answer"

    call = meter.wrap_unary("becket.api.v1.KeyValueService/Get", answer)
    context: Any = FakeContext()
    assert await call(None, context) == "answer"
    assert context.trailers == ()  # there is nothing to tell yet
    meter.look(meter._at_s + 1, meter._cpu_s)
    await call(None, context)
    ((name, report),) = context.trailers
    assert name == TRAILER
    found = OrcaLoadReport.FromString(report)
    assert found.rps_fractional > 0
    assert found.utilization == {"disk": 0.5}
    assert meter.wrap_unary("grpc.health.v1.Health/Check", answer) is answer


async def test_a_host_keeps_its_report_fresh() -> None:
    async with hosted() as (host, _):
        await until(lambda: bool(host.runtime.load.trailers))
        before = host.runtime.load.trailers
        await until(lambda: host.runtime.load.trailers is not before)


def test_the_report_has_the_wire_form_of_orca() -> None:
    # cpu_utilization is field 1, rps_fractional 6, application_utilization 9; all are doubles.
    report = OrcaLoadReport(cpu_utilization=0.5, rps_fractional=2, application_utilization=1)
    half, two, one = b"\0\0\0\0\0\0\xe0?", b"\0\0\0\0\0\0\0@", b"\0\0\0\0\0\0\xf0?"
    assert report.SerializeToString() == b"\x09" + half + b"\x31" + two + b"\x49" + one


class Timed(Sample):
    """Answers after ``pause_s``, and counts."""

    pause_s = 0.002
    calls = 0

    async def GetWeights(  # noqa: N802
        self, _request: pb.GetWeightsRequest, _context: Context
    ) -> pb.GetWeightsResponse:
        self.calls += 1
        await asyncio.sleep(self.pause_s)
        return pb.GetWeightsResponse()


async def _shares(samples: list[Timed], policy: dict[str, dict[str, object]]) -> list[float]:
    """How a stock client with this policy spreads 400 calls, after as many to learn by."""
    target = "ipv4:" + ",".join(sample.runtime.address for sample in samples)
    config = json.dumps({"loadBalancingConfig": [policy]})
    async with grpc.aio.insecure_channel(
        target, options=[("grpc.service_config", config), ("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)

        async def caller(calls: int) -> None:
            for _ in range(calls):
                await stub.GetWeights(pb.GetWeightsRequest(), timeout=10)

        before = [sample.calls for sample in samples]
        for _ in range(3):  # the first rounds are to learn by
            before = [sample.calls for sample in samples]
            await asyncio.gather(*(caller(50) for _ in range(8)))
            # Reports are made a few times a second, and weights are.
            await asyncio.sleep(0.25)
        counts = Counter(dict(enumerate(sample.calls for sample in samples)))
        return [(counts[i] - before[i]) / 400 for i in range(len(samples))]


async def test_an_unmodified_client_sends_less_to_who_is_slow() -> None:
    async with AsyncExitStack() as stack:
        samples: list[Timed] = []
        for _ in range(3):
            _, sample = await stack.enter_async_context(hosted(Timed))
            assert isinstance(sample, Timed)
            samples.append(sample)
        samples[0].pause_s = 0.020
        evenly = await _shares(samples, ROUND_ROBIN)
        assert min(evenly) > 0.3
        weighted = await _shares(samples, WEIGHTED)
        assert weighted[0] < 0.2
