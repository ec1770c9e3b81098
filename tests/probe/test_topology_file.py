"""Real processes that write the topology file at once, some of them killed within a write."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from becket.adapters.local.topology import FileTopology
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()

WRITER = """
import asyncio, sys
from pathlib import Path
from becket.adapters.local.topology import FileTopology

async def main() -> None:
    topology = FileTopology(Path(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        while True:
            found = await topology.read()
            after = found.ring.succeeding(found.ring)
            if await topology.compare_and_swap(found.object_version, after):
                print(after.version, flush=True)
                break

asyncio.run(main())
"""


def start(path: Path, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def versions(writer: subprocess.Popen[str]) -> list[int]:
    out, _ = writer.communicate(timeout=60)
    # The last line of a process that was killed may be cut.
    return [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]


def test_each_version_is_confirmed_to_one_process_only(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    asyncio.run(FileTopology(path).compare_and_swap(None, RING))
    told = [versions(writer) for writer in [start(path, 40), start(path, 40)]]
    assert sorted(told[0] + told[1]) == list(range(RING.version + 1, RING.version + 81))


def test_killed_writers_leave_a_whole_object_that_holds_what_was_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    asyncio.run(FileTopology(path).compare_and_swap(None, RING))
    rng = random.Random(5)
    for _ in range(8):
        writer = start(path, 100_000)
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        for _ in range(rng.randint(0, 30)):
            first = int(writer.stdout.readline())
        writer.kill()
        confirmed = max([first, *versions(writer)])
        found = asyncio.run(FileTopology(path).read())
        assert found is not None
        # A write that was never confirmed may have taken place: one, since one is in the air.
        assert found.ring.version in (confirmed, confirmed + 1)
