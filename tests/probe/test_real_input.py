"""The world's cities are loaded while storage processes are killed; then every row is there.

Starts real processes and kills them with -9. Each row is read back by three ways that share as
little as possible: the command line through the router, the Python client straight from the
members, and a stock gRPC client that has learnt the interface by reflection and knows no Becket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
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
from tests.probe.loaded import PATIENCE_S, until_whole
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
    """A cluster into which they were loaded while one process after the other was killed.

    The load reads a pipe, so that it is amid its rows at each kill however fast it is.
    """
    folder = tmp_path_factory.mktemp("real") / "cluster"
    lines = cities.read_bytes().splitlines(keepends=True)
    with cluster(folder, "--members", str(MEMBERS), "--partitions", "64") as running:
        load = [
            *BECKET,
            "load",
            "-",
            "--jsonl",
            "--key",
            "geonameid",
            "--prefix",
            "city/",
            "--batch",
            "100",
        ]
        with subprocess.Popen(
            load,
            env=running.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as loading:
            assert loading.stdin is not None
            # Where it gave up, what it said is the error to see.
            with contextlib.suppress(BrokenPipeError):
                for number, part in enumerate(parts(lines, -(-len(lines) // KILLS))):
                    half = len(part) // 2
                    loading.stdin.write(b"".join(part[:half]))
                    asyncio.run(wait_for_row(running, part[0]))
                    asyncio.run(kill(Layout(folder), f"storage-{number % MEMBERS}"))
                    loading.stdin.write(b"".join(part[half:]))
                    asyncio.run(until_whole(Layout(folder)))
            said, _ = loading.communicate(timeout=PATIENCE_S)
        assert loading.returncode == 0, said.decode()
        yield running


async def wait_for_row(running: Running, line: bytes) -> None:
    """Wait until a row has been written."""
    key = b"city/%d" % json.loads(line)["geonameid"]
    async with Client(running.target) as client, asyncio.timeout(PATIENCE_S):
        while await client.get(key) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.001)


async def kill(layout: Layout, name: str) -> None:
    """Kill a process, and wait until the keeper has seen it."""
    before = layout.read_processes()[name]
    os.kill(before.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        # While it is dead it is in no table.
        while layout.read_processes().get(name) == before:  # noqa: ASYNC110 - the keeper writes it
            await asyncio.sleep(0.005)


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


def parts(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Runs of at most ``size`` of them."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
