"""Real processes under load, and the judgement of what their clients saw.

Owns the load beside a fault: workers whose history is recorded and judged, and probes that tell how
long keys stood still. Gaps are told, and bounded only by what no slow machine excuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from becket.adapters.clocks import monotonic_us
from becket.adapters.local.layout import Layout
from becket.cli.chaos_local import look
from becket.cli.verify_probes import Probes
from becket.cli.verify_recording import Counts, Recorder
from becket.cli.verify_workload import Load, Workers
from becket.client.client import Client
from becket.testing import Cluster

LOAD = Load(writers=2, readers=1, keys=60, batch=8, timeout_s=10.0, rate=600)
PATIENCE_S = 60.0


async def until_whole(layout: Layout) -> None:
    """Wait until each partition has all its replicas on disks that are there."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await look(layout)).is_whole:  # noqa: ASYNC110 - other processes see to it
            await asyncio.sleep(0.05)


class Loaded:
    """A cluster that is worked on."""

    def __init__(
        self, cluster: Cluster, recorder: Recorder, probes: Probes, client: Client
    ) -> None:
        self.cluster, self.recorder, self.probes, self.client = cluster, recorder, probes, client
        self.began_us = monotonic_us()

    @property
    def counts(self) -> Counts:
        """What has come of the operations."""
        return self.recorder.counts

    async def coordinator(self) -> tuple[str, list[bytes]]:
        """A member that coordinates, and the probed keys that it does."""
        held = [(name, await self.probes.of_member(name)) for name in self.cluster.members]
        return max(held, key=lambda pair: len(pair[1]))

    async def recovered(self) -> None:
        """Wait until every probed key has taken a write that began after now."""
        since_us = monotonic_us()
        async with asyncio.timeout(PATIENCE_S):
            while not self.probes.all_succeeded_since(since_us + 50_000):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def whole(self) -> None:
        """Wait until each partition has all its replicas on disks that are there."""
        await until_whole(self.cluster.layout)

    def tell_gap(self, what: str, keys: list[bytes], since_us: int) -> int:
        """The longest gap of these keys since then, in milliseconds."""
        gap_ms = self.probes.gap_us(keys, since_us, monotonic_us()) // 1000
        print(f"{what}: longest gap of a key {gap_ms} ms")
        return gap_ms


@asynccontextmanager
async def under_load(
    cluster: Cluster, load: Load = LOAD, *, is_measured: bool = True
) -> AsyncIterator[Loaded]:
    """Work on the cluster meanwhile; afterwards every history must make sense, nothing be lost.

    Where nothing is measured, keys are probed now and then, and the load is all there is.
    """
    recorder = Recorder()
    workers = Workers(recorder, load, seed=1, run="probe")
    async with cluster.client() as one, cluster.client() as two, cluster.client() as third:
        probes = Probes(third, (await third.ring()).partitions, "probe")
        probes.focus = probes.keys if is_measured else ()
        loaded = Loaded(cluster, recorder, probes, third)
        probing = asyncio.create_task(probes.run())
        working = asyncio.create_task(workers.run([one, two]))
        try:
            await loaded.recovered()
            yield loaded
            await loaded.recovered()
            workers.stop()
            await working
            last = await workers.read_back(third, recorder.keys)
        finally:
            workers.stop()
            for task in (probing, working):
                task.cancel()
            await asyncio.gather(probing, working, return_exceptions=True)
    assert [entry for entry in last if entry.results is None] == []
    lost = [e.key for e in last if e.results and recorder.is_lost(e.key, e.results[0])]
    assert lost == []
    found, undecided = recorder.finish()
    assert [each.key for each in found] == []
    assert undecided == []
    assert recorder.counts.acknowledged > 100
