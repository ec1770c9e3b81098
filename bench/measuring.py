"""Measures one system, in a process of its own: ``python -m bench.measuring NAME SIZE SEED FILE``.

Owns the order of workloads and what is counted beside them. The figures go to the file as JSON,
after each workload, so that what was measured is there even if the process is ended.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import uvloop

from becket.adapters.local.leash import tie_to
from becket.cli.bench import load, plan_of
from becket.cli.bench_driving import BenchStore, Drive, Driver
from becket.cli.bench_recording import Recording
from bench import stopping
from bench.becket_cluster import BecketBySync
from bench.gaps import drive_gaps
from bench.servers import MissingError
from bench.systems import System, make
from bench.threads import drive_threads
from bench.workloads import BOUNDS, SIZES, Way, Workload, of_system

LEAST_RATE = 50.0


def processor_s(pids: Iterable[int]) -> float:
    """The processor time of these processes until now."""
    total = 0.0
    for process in _alive(pids):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def memory_mib(pids: list[int]) -> float:
    """The resident memory of these processes."""
    return sum(process.memory_info().rss for process in _alive(pids)) / (1 << 20)


def _alive(pids: Iterable[int]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


class Measurement:
    """One system and its figures."""

    def __init__(self, name: str, size: str, seed: int, file: Path, only: str = "") -> None:
        self._name, self._size, self._seed, self._file = name, SIZES[size], seed, file
        self._only = only
        self._system: System = make(name)
        self._loaded_bytes = -1
        self.report: dict[str, Any] = {"system": name, "skipped": "", "rows": {}}

    async def run(self) -> None:
        """All of it."""
        with tempfile.TemporaryDirectory(prefix="becket-bench-") as folder:
            try:
                await self._system.start(Path(folder))
                store = await self._system.open()
                self.report["idle_mib"] = round(memory_mib(self._system.pids()), 1)
                for workload in of_system(self._name):
                    if self._only in workload.name:
                        await self._measure(store, workload)
            except MissingError as error:
                self.report["skipped"] = str(error)
            finally:
                self._write()
                await self._system.stop()

    async def _measure(self, store: BenchStore, workload: Workload) -> None:
        if workload.way is Way.KILL and not self._size.kill_s:
            return
        try:
            await self._fill(store, workload.value_bytes)
            row = await self._row(store, workload)
        except MissingError as error:
            row = {"skipped": str(error)}
        self.report["rows"][workload.name] = row
        self._write()
        print(f"{self._name}: {workload.name}: {said(row)}", file=sys.stderr, flush=True)

    async def _fill(self, store: BenchStore, value_bytes: int) -> None:
        if value_bytes == self._loaded_bytes:
            return
        if self._name in BOUNDS and self._name != "rocks":
            await store.put(b"", bytes(value_bytes))
        else:
            recording = await load(store, self._size.keys, value_bytes, self._seed)
            if not recording.done:
                raise MissingError(f"nothing could be loaded: {dict(recording.reasons)}")
        self._loaded_bytes = value_bytes

    async def _row(self, store: BenchStore, workload: Workload) -> dict[str, Any]:
        if workload.way is Way.KILL:
            return await drive_gaps(self._system, store, self._size.kill_s)
        pids = self._system.pids()
        counted = [os.getpid(), *pids]
        # All that was imported and made so far stays: to look through it for cycles takes the
        # collector 10 ms amid a measurement, whichever system is measured.
        gc.collect()
        gc.freeze()
        before = processor_s(counted)
        warm = 0.0
        if workload.way is Way.LOAD:
            recording = await load(store, self._size.load_keys, workload.value_bytes, self._seed)
            self._loaded_bytes = -1
        else:
            drive = workload.drive(self._size, self._seed)
            if workload.way is Way.HALF:
                drive = self._half(drive, workload.of)
            recording = await self._driven(store, workload, drive)
            warm = drive.warm_up_s
        spent = processor_s(counted) - before
        # The warm-up has cost as much a second as what was measured.
        recording.processor_s = spent * recording.seconds / (recording.seconds + warm)
        return recording.row() | {
            "memory_mib": round(memory_mib(pids), 1),
            "curve": recording.curve(),
        }

    def _half(self, drive: Drive, name: str) -> Drive:
        rate = self.report["rows"].get(name, {}).get("rate", 0) / 2
        if rate < LEAST_RATE:
            raise MissingError(f"there is no rate of {name!r} to take half of")
        return Drive(
            max(drive.seconds, 1.0),
            drive.in_flight,
            rate=rate,
            value_bytes=drive.value_bytes,
            seed=drive.seed,
            warm_up_s=drive.warm_up_s,
        )

    async def _driven(self, store: BenchStore, workload: Workload, drive: Drive) -> Recording:
        plan = plan_of(workload.mix, None, self._size.keys)
        if isinstance(self._system, BecketBySync):
            assert self._system.blocking is not None
            return drive_threads(self._system.blocking, drive, plan)
        return await Driver(store, drive, plan).run()

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(self.report, indent=1))
        part.replace(self._file)


def said(row: dict[str, Any]) -> str:
    """One line for whoever waits."""
    if "skipped" in row:
        return f"left out: {row['skipped']}"
    text = f"{row['rate']:,.0f}/s, p50 {row['p50_us'] / 1000:.2f} ms"
    if "gap_longest_ms" in row:
        text += f", longest gap {row['gap_longest_ms']:.0f} ms"
    if row.get("processor_us"):
        text += f", {row['processor_us']:.0f} us of processor time each"
    return text + (f", failed: {row['failed']}" if row["failed"] else "")


def main() -> None:
    """Measure what the command line names."""
    # A run that is killed takes its measurement along.
    tie_to(os.getppid(), signal.SIGTERM)
    name, size, seed, file, *only = sys.argv[1:]
    began = time.monotonic()
    measurement = Measurement(name, size, int(seed), Path(file), *only)
    stopping.run(measurement.run(), loop_factory=uvloop.new_event_loop)
    if measurement.report["skipped"]:
        print(f"{name}: skipped: {measurement.report['skipped']}", file=sys.stderr)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
