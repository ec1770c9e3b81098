"""What is over is freed at once: nothing of it waits for the collector, which would stop us."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from becket.adapters.dispatch.calling import Attempted, Calling
from becket.adapters.dispatch.reads import Reading
from becket.adapters.dispatch.submissions import Part, Submission
from tests.unit.dispatch.fakes import get, put
from tests.unit.dispatch.rig import rig

KINDS = (Attempted, Calling, Part, Reading, Submission)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only counts of references free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_calls_and_reads_leave_no_cycles() -> None:
    async with rig() as r:
        for number in range(10):
            await r.run(put(b"k%d" % number, b"v"), get(b"k%d" % number))
            await r.run(get(b"k%d" % number), get(b"other"))
        left = [type(each).__name__ for each in gc.get_objects() if isinstance(each, KINDS)]
    # The last batch of each lane may be on its way out.
    assert len(left) <= 3 * len(KINDS), left
