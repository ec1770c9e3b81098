"""The world's cities are loaded while storage processes are killed; then every row is there.

Starts real processes and kills them with -9. Each row is read back by three ways that share as
little as possible: the command line through the router, the Python client straight from the
members, and a stock gRPC client that has learnt the interface by reflection and knows no Becket.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from becket import Client
from becket.adapters.local.layout import Layout
from tests.probe.running import BECKET, Running, cluster

ROOT = Path(__file__).parents[2]
MEMBERS = 3
KILLS = 3
PEOPLE = os.environ.get("BECKET_PROBE_PEOPLE", "100000")
"""Cities with more people than that; 15000 gives all 34,000 rows."""


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as JSON lines."""
    script = [sys.executable, str(ROOT / "examples" / "geonames.py"), "--people", PEOPLE]
    lines = subprocess.run(script, capture_output=True, check=True).stdout
    path = tmp_path_factory.mktemp("cities") / "cities.jsonl"
    path.write_bytes(lines)
    return path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, cities: Path) -> Iterator[Running]:
    """A cluster into which they were loaded while one process after the other was killed."""
    folder = tmp_path_factory.mktemp("real") / "cluster"
    with cluster(folder, "--members", str(MEMBERS), "--partitions", "64") as running:
        killed: list[str] = []
        done = threading.Event()
        killer = threading.Thread(target=kill_one_by_one, args=(Layout(folder), done, killed))
        killer.start()
        try:
            load = [*BECKET, "load", str(cities), "--key", "geonameid", "--prefix", "city/"]
            loading = subprocess.run(
                load, env=running.environment, capture_output=True, text=True, check=False
            )
        finally:
            done.set()
            killer.join()
        assert loading.returncode == 0, loading.stdout + loading.stderr
        assert killed, "nothing was killed while the rows were loaded"
        yield running


def kill_one_by_one(layout: Layout, done: threading.Event, killed: list[str]) -> None:
    """Kill a storage process, wait until the keeper has started it again, go on with the next."""
    for number in range(KILLS):
        if done.wait(1.0):
            return
        name = f"storage-{number % MEMBERS}"
        before = layout.read_processes().get(name)
        if before is None:
            return
        os.kill(before.pid, signal.SIGKILL)
        killed.append(name)
        # While it is dead it is in no table.
        while layout.read_processes().get(name, before).pid == before.pid:
            if done.wait(0.05):
                return
        # The next one dies only when this one is back for good.
        if done.wait(3.0):
            return


def rows_of(cities: Path) -> dict[bytes, Any]:
    found = {}
    for line in cities.read_bytes().splitlines():
        row = json.loads(line)
        found[b"city/%d" % row["geonameid"]] = row
    return found


def test_every_row_is_there_through_the_router(loaded: Running, cities: Path) -> None:
    export = [*BECKET, "export", "city/"]
    done = subprocess.run(
        export, env=loaded.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        found[entry["key"].encode()] = json.loads(entry["value"])
    assert found == rows_of(cities)


async def test_every_row_is_there_through_the_python_client(loaded: Running, cities: Path) -> None:
    rows = rows_of(cities)
    async with Client(loaded.target) as client:
        for keys in parts(list(rows), 500):
            entries = await asyncio.gather(*(client.get(key) for key in keys))
            for key, entry in zip(keys, entries, strict=True):
                assert entry is not None, key
                assert json.loads(entry.value) == rows[key]


def test_every_row_is_there_through_a_stock_client(loaded: Running, cities: Path) -> None:
    rows = rows_of(cities)
    with grpc.insecure_channel(loaded.target) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("becket.api.v1.KeyValueService")
        method = service.methods_by_name["Batch"]
        request_of = GetMessageClass(method.input_type)
        answer_of = GetMessageClass(method.output_type)
        call = channel.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=request_of.SerializeToString,
            response_deserializer=answer_of.FromString,
        )
        for keys in parts(list(rows), 500):
            request = request_of()
            for key in keys:
                request.operations.add().get.key = key  # type: ignore[attr-defined]
            answer: Any = call(request, timeout=30)
            for key, result in zip(keys, answer.results, strict=True):
                assert json.loads(result.get.entry.value) == rows[key]


def parts(keys: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Runs of at most ``size`` keys."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
