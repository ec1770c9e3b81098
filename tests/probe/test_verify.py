"""``becket verify`` against real processes: one that keeps its promises, and one that does not.

Starts clusters and kills their members. The broken promise is made by a stranger who writes to the
same keys, so that readers see what nobody of the run has written.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from becket import Client
from becket.testing import Cluster
from tests.unit.cli.test_verify import FIXED

SMALL = ("--writers", "2", "--readers", "2", "--keys", "40", "--batch", "8", "--rate", "800")


async def verify(*options: str) -> tuple[int, dict[str, object], str]:
    """Exit code, JSON, and what was said beside."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "becket.cli", "verify", "-o", "json", *SMALL, *options),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(240):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert out, err.decode()
    return process.returncode or 0, json.loads(out), err.decode()


async def test_a_cluster_keeps_its_promises_under_every_kind_of_fault(tmp_path: Path) -> None:
    code, found, said = await verify(
        *("--members", "5", "--partitions", "16", "--duration", "5", "--kills", "1"),
        *("--seed", "3", "--timeout", "20", "--report", str(tmp_path)),
    )
    assert tuple(found)[: len(FIXED)] == FIXED
    assert code == 0, said
    assert (found["lost"], found["violations"], found["undecided"], found["kills"]) == (0, 0, 0, 1)
    faults = found["faults"]
    assert isinstance(faults, dict)
    assert sorted(faults) == ["all", "kill", "pause", "term", "wipe"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"][-1].startswith("every history is linearizable")


async def test_a_broken_promise_is_seen_and_drawn(tmp_path: Path) -> None:
    async with Cluster() as cluster, cluster.client() as client:
        disturbing = asyncio.create_task(disturb(client))
        code, found, said = await verify(
            *("--target", cluster.address, "--kills", "0"),
            *("--duration", "4", "--report", str(tmp_path)),
        )
        disturbing.cancel()
        await asyncio.gather(disturbing, return_exceptions=True)
    assert code == 1, said
    assert isinstance(found["violations"], int)
    assert found["violations"] > 0
    assert "BROKEN" in said
    assert "stuck" in (tmp_path / "violation-1.html").read_text()


async def disturb(client: Client) -> None:
    """Write to keys of the run, once there are some."""
    while True:
        async for entry in client.scan("verify/", keys_only=True):
            if b"/r" in entry.key:
                await client.put(entry.key, b"from a stranger")
        await asyncio.sleep(0.2)
