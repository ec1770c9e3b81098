"""Balance under skew and with slow processes, as ratios within one run.

``python -m bench balance zipf|slow|routers``. Owns clusters of its own, on this machine.

* ``zipf``: reads by Zipf's law over 10 members: the load of the hottest member by the mean of all,
  for linearizable reads and for relaxed ones;
* ``slow``: one member of five gets a quarter of the time: p99 of relaxed reads against round robin
  in the same seconds, and of linearizable reads, once coordinators have left it, against before;
* ``routers``: one router of three gets a quarter of the time: a stock gRPC client with
  ``weighted_round_robin`` against one with ``round_robin``.

A process is slowed by stopping it for 30 ms of every 40.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import accumulate, count
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.request import urlopen

import grpc

from becket import Consistency, Get
from becket.adapters.dispatch.dispatcher import Dispatcher
from becket.adapters.dispatch.routing import Way
from becket.api.v1 import balancer_pb2, balancer_pb2_grpc, key_value_pb2_grpc
from becket.api.v1 import key_value_pb2 as kv
from becket.client.client import Client
from becket.core.build import is_compiled
from becket.testing import Cluster
from bench import stopping

KEYS, SKEW, VALUE = 10_000, 0.99, b"v" * 100
READERS = 16
SLOWED = """
import os, signal, sys, time
pid = int(sys.argv[1])
try:
    while True:
        os.kill(pid, signal.SIGSTOP); time.sleep(0.030)
        os.kill(pid, signal.SIGCONT); time.sleep(0.010)
finally:
    os.kill(pid, signal.SIGCONT)
"""
TOGETHER = 20
"""Reads of one call of ``zipf``: on few processors calls are the wall."""
CALM = {
    # Ten members on a machine of two processors beat as often as they can afford.
    "BECKET_MEMBERSHIP__BEAT_US": "400000",
    "BECKET_MEMBERSHIP__LEASE_US": "1000000",
    "BECKET_MEMBERSHIP__SUSPICION_US": "3000000",
    "BECKET_REPLICATION__LEASE_US": "1000000",
    "BECKET_REPLICATION__SUSPICION_US": "3000000",
    "BECKET_REPLICATION__CLAIM_US": "330000",
}
PAUSE_S = 0.05
LEVELS = (Consistency.LINEARIZABLE, Consistency.BOUNDED)
MOST_S = 60.0
Read = Callable[[str], Awaitable[object]]


def key(number: int) -> str:
    """The key of a rank."""
    return f"key-{number}"


def dispatcher_of(client: Client) -> Dispatcher:
    """What a client sends its operations by."""
    return client._connected().dispatcher  # noqa: SLF001 - to see which way it goes


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which this share of all lies, in ms."""
    ordered = sorted(samples)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def draws(keys: int, skew: float) -> Iterator[str]:
    """Keys by Zipf's law, for ever; the same in every run."""
    rng = random.Random(1)
    weights = list(accumulate(1 / rank**skew for rank in range(1, keys + 1)))
    while True:
        yield from (key(n) for n in rng.choices(range(keys), cum_weights=weights, k=1000))


async def load(client: Client, keys: int) -> None:
    """Write every key."""
    for start in range(0, keys, 200):
        some = range(start, min(start + 200, keys))
        await asyncio.gather(*(client.put(key(number), VALUE) for number in some))


async def reading(
    read: Read, keys: Iterator[str], seconds: float, *, pause_s: float = 0.0
) -> list[float]:
    """Read with all readers for some seconds; the time of each read in seconds."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def reader() -> None:
        while (began := time.perf_counter()) < until:
            await read(next(keys))
            took.append(time.perf_counter() - began)
            if pause_s:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))

    await asyncio.gather(*(reader() for _ in range(READERS)))
    return took


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """A process that gets a quarter of the time."""
    with subprocess.Popen([sys.executable, "-c", SLOWED, str(pid)]) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            os.kill(pid, 18)  # it may have been stopped at that moment


# Skew


async def loads(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Operations a second of each member, by its own reports, as the mean over some seconds."""
    found: defaultdict[str, float] = defaultdict(float)
    rounds = 0
    until = time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(cluster.address) as channel:
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        while time.perf_counter() < until:
            answer = await stub.GetWeights(balancer_pb2.GetWeightsRequest(), timeout=5)
            for each in answer.weights.members:
                found[each.disk_id] += each.operations_per_second
            rounds += 1
            await asyncio.sleep(0.5)
    return {disk: total / max(1, rounds) for disk, total in found.items()}


async def zipf(members: int, seconds: float, wide: float | None) -> None:
    """The hottest member by the mean, for both kinds of reads."""
    settings = CALM if wide is None else {**CALM, "BECKET_LOAD__WIDE_READS_PER_SECOND": str(wide)}
    cluster = Cluster(members, partitions=128, balancer=True, settings=settings, ready_s=120)
    async with cluster, cluster.client(timeout=60) as client:
        await load(client, KEYS)
        copies, keys = dispatcher_of(client).context.copies, draws(KEYS, SKEW)
        for level in LEVELS:

            async def read(_name: str, level: Consistency = level) -> object:
                return await client.batch([Get(next(keys), level) for _ in range(TOGETHER)])

            await reading(read, keys, 15, pause_s=PAUSE_S)
            before = copies.answered
            took, rates = await asyncio.gather(
                reading(read, keys, seconds + 1, pause_s=PAUSE_S), loads(cluster, seconds)
            )
            reads = TOGETHER * len(took)
            print(
                f"zipf {SKEW} {level.value}: hottest/mean"
                f" {max(rates.values()) / fmean(rates.values()):.3f} over {len(rates)} members;"
                f" {reads / (seconds + 1):.0f} reads/s,"
                f" {100 * (copies.answered - before) / reads:.0f} % answered from copies of"
                f" {len(copies.wide)} hot keys; p99 of {TOGETHER} together"
                f" {percentile(took, 0.99):.1f} ms"
            )


# A slow member


class RoundRobin:
    """Picks replicas in turn, in place of the rule of two."""

    def __init__(self, client: Client) -> None:
        self._routes = dispatcher_of(client).routes
        self._turn = count()

    def relaxed(self, partition: int, tried: Sequence[str]) -> Way | None:
        """The next replica that was not tried."""
        disks = [d for d in self._routes.view.table.candidates(partition) if d not in tried]
        if not disks:
            return self._routes.way(partition)
        disk = disks[next(self._turn) % len(disks)]
        lane = self._routes.lane_of(disk)
        assert lane is not None
        return Way(lane, disk, self._routes.epoch(partition))


async def slow(seconds: float) -> None:
    """Linearizable reads before and after coordinators leave; relaxed ones against round robin."""
    cluster = Cluster(5, partitions=64, balancer=True, ready_s=120)
    async with cluster, cluster.client(timeout=60) as client, cluster.client(timeout=60) as turning:
        await load(client, 1000)
        routes = dispatcher_of(turning).routes
        routes.relaxed = RoundRobin(turning).relaxed  # type: ignore[method-assign, assignment]
        keys = draws(1000, 0.0)

        async def strict(name: str) -> object:
            return await client.get(name)

        async def two(name: str) -> object:
            return await client.get(name, consistency=Consistency.BOUNDED)

        async def turn(name: str) -> object:
            return await turning.get(name, consistency=Consistency.BOUNDED)

        async def p99(read: Read, for_s: float) -> float:
            return percentile(await reading(read, keys, for_s, pause_s=PAUSE_S), 0.99)

        await p99(strict, 4)
        healthy = await p99(strict, seconds)
        name = "storage-1"
        disk = next(m.disk for m in (await client.ring()).members if m.name == name)
        with slowed(cluster.processes[name].pid):
            began = time.perf_counter()
            during = await p99(strict, 4)
            while await _led(client, disk) and time.perf_counter() - began < MOST_S:
                await p99(strict, 1)
            waited, left = time.perf_counter() - began, await _led(client, disk)
            after = await p99(strict, seconds)
            print(
                f"linearizable reads, one of five slow: p99 {during:.1f} ms while it coordinates,"
                f" {after:.1f} ms when it coordinates {left} ({waited:.0f} s later), {healthy:.1f}"
                f" ms healthy; after/healthy {after / healthy:.2f}"
            )
            await p99(two, 3)
            picked: list[float] = []
            turned: list[float] = []
            for _ in range(4):
                picked += await reading(two, keys, seconds / 4, pause_s=PAUSE_S)
                turned += await reading(turn, keys, seconds / 4, pause_s=PAUSE_S)
            best, other = percentile(picked, 0.99), percentile(turned, 0.99)
            print(
                f"relaxed reads, one of five slow: p99 {best:.1f} ms, round robin {other:.1f} ms,"
                f" ratio {best / other:.2f}; means {1000 * fmean(picked):.1f} and"
                f" {1000 * fmean(turned):.1f} ms; weight"
                f" {dispatcher_of(client).routes.weights.get(disk, 1.0):.2f}"
            )


async def _led(client: Client, disk: str) -> int:
    table = dispatcher_of(client).view.table
    ring = await client.ring()
    return sum(table.coordinator(partition) == disk for partition in range(ring.partitions))


# Routers


@asynccontextmanager
async def router(name: str, members: Sequence[str]) -> AsyncIterator[tuple[int, str, str]]:
    """A further router: its process, its address, and where its metrics are."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        environment = {
            **os.environ,
            "BECKET_NAME": name,
            "BECKET_LISTEN": "127.0.0.1:0",
            "BECKET_HTTP_LISTEN": "127.0.0.1:0",
            "BECKET_ANNOUNCE_FILE": str(told),
            "BECKET_MEMBER_ADDRESSES": json.dumps(list(members)),
            "BECKET_LOG_LEVEL": "error",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "becket.router", env=environment
        )
        try:
            while not told.exists():  # noqa: ASYNC110 - a file tells it
                await asyncio.sleep(0.05)
            found = json.loads(told.read_text())
            yield process.pid, found["address"], found["http_address"]
        finally:
            process.terminate()
            await process.wait()


async def routers(seconds: float) -> None:
    """How two policies of a stock client spread calls, and what their p99 is."""
    weighted = {"blackoutPeriod": "0s", "weightUpdatePeriod": "0.5s"}
    async with Cluster(3, partitions=16, ready_s=120) as cluster, AsyncExitStack() as stack:
        async with cluster.client() as client:
            await load(client, 100)
        places = [cluster.processes[name].address for name in cluster.members]
        made = [await stack.enter_async_context(router(f"r-{i}", places)) for i in range(3)]
        await asyncio.sleep(2)
        target = "ipv4:" + ",".join(address for _, address, _ in made)
        with slowed(made[0][0]):
            policies: list[dict[str, object]] = [
                {"round_robin": {}},
                {"weighted_round_robin": weighted},
            ]
            for policy in policies:
                (name,) = policy
                config = json.dumps({"loadBalancingConfig": [policy]})
                options = (("grpc.service_config", config), ("grpc.use_local_subchannel_pool", 1))
                async with grpc.aio.insecure_channel(target, options=options) as channel:
                    get = key_value_pb2_grpc.KeyValueServiceStub(channel).Get
                    read = partial(_stock_read, get)
                    await reading(read, draws(100, 0.0), 5, pause_s=PAUSE_S)
                    before = [await _answered(http) for _, _, http in made]
                    took = await reading(read, draws(100, 0.0), seconds, pause_s=PAUSE_S)
                    asked = [await _answered(made[i][2]) - before[i] for i in range(3)]
                print(
                    f"{name}: the slow router of three gets {100 * asked[0] / sum(asked):.0f} % of"
                    f" {len(took)} calls; mean {1000 * fmean(took):.1f} ms, p99"
                    f" {percentile(took, 0.99):.1f} ms"
                )


async def _stock_read(get: Any, name: str) -> object:  # noqa: ANN401 - a call of the library
    return await get(kv.GetRequest(key=name.encode()), timeout=10)


async def _answered(http: str) -> float:
    """How many operations a router has begun, by its own metrics."""

    def fetch() -> str:
        with urlopen(f"http://{http}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    lines = (await asyncio.to_thread(fetch)).splitlines()
    return next(float(x.split()[-1]) for x in lines if x.startswith("becket_router_calls_total"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("zipf", "slow", "routers"))
    parser.add_argument("--members", type=int, default=10, help="of zipf")
    parser.add_argument("--wide", type=float, help="of zipf: the least reads a second of a hot key")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement")
    given = parser.parse_args(arguments)
    if given.what == "slow" and is_compiled():
        parser.error("slow puts another choice into the client, which a compiled one does not take")
    if given.what == "zipf":
        stopping.run(zipf(given.members, given.seconds, given.wide))
    elif given.what == "slow":
        stopping.run(slow(given.seconds))
    else:
        stopping.run(routers(given.seconds))


if __name__ == "__main__":
    main()
