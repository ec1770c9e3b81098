"""Real processes of the skeleton: signals, exit codes, what stands in the log.

Starts processes, each in its own folder, and ends only those.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]


@asynccontextmanager
async def sample(**settings: str) -> AsyncIterator[Process]:
    """A process of the sample service."""
    environment = {key: value for key, value in os.environ.items() if "BECKET" not in key}
    environment |= {f"BECKET_{key.upper()}": value for key, value in settings.items()}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT / "services"), str(ROOT)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.runtime.sample"),
        cwd=ROOT,
        env=environment,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def events(process: Process) -> AsyncIterator[Event]:
    """The lines of the process's log, as they come."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if line.startswith(b"{"):  # the core of gRPC writes errors of its own between ours
            yield json.loads(line)


async def until_event(process: Process, name: str, **fields: str) -> Event:
    async for event in events(process):
        if event["event"] == name and fields.items() <= event.items():
            return event
    raise AssertionError(f"the process ended without {name}")


async def rest(process: Process) -> list[Event]:
    found = [event async for event in events(process)]
    await process.wait()
    return found


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_order(signum: signal.Signals) -> None:
    async with sample() as process:
        await until_event(process, "step", step="run (ready)")
        process.send_signal(signum)
        told = [event.get("step", event["event"]) for event in await rest(process)]
        assert told == ["signal", "stopping", "drain (not ready)", "close (not ready)", "stopped"]
        assert process.returncode == 0


async def test_calls_in_flight_are_answered_and_streams_end_with_ok() -> None:
    async with sample(default_deadline_ms="1000") as process:
        address = (await until_event(process, "listening"))["address"]
        await until_event(process, "step", step="run (ready)")
        async with grpc.aio.insecure_channel(address) as channel:
            stub = balancer_pb2_grpc.BalancerServiceStub(channel)
            stream = stub.WatchWeights(pb.WatchWeightsRequest(), metadata=(("do", "wait"),))
            await stream.read()
            call = stub.GetWeights(pb.GetWeightsRequest(), metadata=(("do", "wait"),))
            # It ends by the deadline that the server gave it, after the signal.
            await stub.GetWeights(pb.GetWeightsRequest())
            process.send_signal(signal.SIGTERM)
            assert await stream.code() is grpc.StatusCode.OK
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await rest(process)
        assert process.returncode == 0


async def test_a_second_signal_ends_at_once() -> None:
    async with sample(sample_fails="hang", stop_grace_s="60") as process:
        await until_event(process, "step", step="run (ready)")
        process.send_signal(signal.SIGTERM)
        await until_event(process, "step", step="drain (not ready)")
        process.send_signal(signal.SIGTERM)
        assert (await rest(process))[-1]["event"] == "ended_by_second_signal"
        assert process.returncode == 128 + signal.SIGTERM


async def test_a_drain_that_hangs_is_cut_off() -> None:
    settings = {"stop_grace_s": "0.2", "default_deadline_ms": "100"}
    async with sample(sample_fails="hang", **settings) as process:
        await until_event(process, "step", step="run (ready)")
        process.send_signal(signal.SIGTERM)
        told = [event["event"] for event in await rest(process)]
        assert "drain_overdue" in told
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("step", "code"), [("start", 70), ("run", 70), ("return", 0), ("close", 70)]
)
async def test_exit_codes(step: str, code: int) -> None:
    async with sample(sample_fails=step) as process:
        if step == "close":
            await until_event(process, "step", step="run (ready)")
            process.send_signal(signal.SIGTERM)
        told = {event["event"] for event in await rest(process)}
        assert process.returncode == code
        if code == 70:
            assert told & {"failed", "close_failed"}


async def test_wrong_settings_end_with_the_field_in_the_log() -> None:
    async with sample(stop_grace_s="1", limits__key_bytes="0") as process:
        (event,) = await rest(process)
        assert event["event"] == "wrong_setting"
        assert event["problem"].startswith("limits.key_bytes: ")
        assert process.returncode == 78


async def test_an_address_that_is_taken() -> None:
    async with sample() as first:
        address = (await until_event(first, "listening"))["address"]
        async with sample(listen=address) as second:
            told = await rest(second)
            assert second.returncode == 71
            assert told[-1]["event"] == "cannot_listen"
            assert address in told[-1]["problem"]
