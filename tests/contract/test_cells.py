"""The core's view of a disk: the same answers from an engine as from the simulation's disk.

What the simulation proves holds for a real engine only as far as both show the core the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from becket.adapters.engines.cells import MOST_CELLS, MOST_SHOWN_BYTES, EngineCells, RecentCells
from becket.adapters.engines.memory import MemoryEngine
from becket.adapters.engines.rocks import RocksEngine
from becket.core.replication.cells import NOTHING, Cell
from becket.core.replication.store import (
    ClearCells,
    CorruptCellError,
    DeleteCell,
    PartitionRecord,
    PutCell,
    PutDigest,
    PutRecord,
    Write,
)
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.core.ring.config import first_config
from becket.ports.engine import EngineCorruptError, Put
from tests.simulation.disks import SimulatedDisk

EPOCH = Epoch(3, "a", 2)
KEYS = st.sampled_from([b"k", b"k\x00", b"k\xff", b"\xff\xff", b"{tag}x"])
PARTITIONS = st.sampled_from([0, 1, 255, 256])
CELLS = st.builds(
    lambda seq, value: Cell(Version(EPOCH, seq), Version(EPOCH, seq), value, 0, (), ZERO),
    st.integers(1, 99),
    st.none() | st.binary(max_size=3),
)
RECORDS = st.builds(
    PartitionRecord,
    st.sampled_from([None, first_config(("a", "b"))]),
    st.just(EPOCH),
    st.just(ZERO),
    st.none() | st.just(4),
)
WRITES = st.one_of(
    st.builds(PutCell, PARTITIONS, KEYS, CELLS),
    st.builds(DeleteCell, PARTITIONS, KEYS),
    st.builds(ClearCells, PARTITIONS),
    st.builds(PutDigest, PARTITIONS, st.integers(0, 3), st.integers(0, 2**128 - 1)),
    st.builds(PutRecord, PARTITIONS, RECORDS),
)


@pytest.fixture(params=["memory", "rocks"])
def cells(request: pytest.FixtureRequest, tmp_path: Path) -> EngineCells:
    engine = MemoryEngine() if request.param == "memory" else RocksEngine(tmp_path / "engine")
    return EngineCells(engine)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.lists(WRITES, min_size=1, max_size=5), max_size=8))
def test_an_engine_shows_what_the_simulated_disk_shows(
    cells: EngineCells, steps: list[list[Write]]
) -> None:
    disk = SimulatedDisk("a")
    cells.apply(ClearCells(partition) for partition in (0, 1, 255, 256))
    cells.apply(PutRecord(p, PartitionRecord(None, EPOCH, ZERO, None)) for p in (0, 1, 255, 256))
    disk.apply([PutRecord(p, PartitionRecord(None, EPOCH, ZERO, None)) for p in (0, 1, 255, 256)])
    for step in steps:
        cells.apply(step)
        disk.apply(step)
        # What was found before the next step must not be found after it.
        for partition in (0, 1, 255, 256):
            for key in (b"k", b"k\xff"):
                assert cells.shown(partition, key) == disk.shown(partition, key)
    assert cells.recovered().records == disk.recovered().records
    digests = {p: buckets for p, buckets in disk.recovered().digests.items() if buckets}
    assert cells.recovered().digests == digests
    for partition in (0, 1, 255, 256, 7):
        for key in (b"k", b"k\x00", b"missing"):
            assert cells.shown(partition, key) == disk.shown(partition, key)
            head = cells.head(partition, key)
            assert (head.head if isinstance(head, Cell) else head) == disk.head(partition, key)
            assert cells.get(partition, key) == disk.get(partition, key)
        for after in (None, b"k", b"k\x00", b"zz"):
            for limit in (1, 2, 100):
                found = cells.page(partition, after, limit)
                assert found == disk.page(partition, after, limit)


def test_r8_a_damaged_cell_is_corrupt_and_never_absent() -> None:
    engine = MemoryEngine()
    cells = EngineCells(engine)
    whole = Cell(Version(EPOCH, 1), Version(EPOCH, 1), b"v", 0, (), ZERO)
    cells.apply([PutCell(0, b"k", whole), PutCell(0, b"l", whole)])
    (stored, raw), _ = engine.scan(b"k", b"l", 10)
    engine.apply([Put(stored, raw[:-1] + b"w")])
    cells = EngineCells(engine)  # another process: what this one has written it remembers
    for read in (cells.get, cells.head, cells.shown):
        with pytest.raises(CorruptCellError):
            read(0, b"k")
    assert cells.page(0, None, 10) == [(b"k", None), (b"l", whole.head)]


def test_a_damaged_partition_record_makes_a_lost_disk() -> None:
    engine = MemoryEngine()
    cells = EngineCells(engine)
    cells.apply([PutRecord(0, PartitionRecord(None, EPOCH, ZERO, None))])
    ((key, raw),) = engine.scan(b"p", b"q", 10)
    engine.apply([Put(key, raw[:-1])])
    with pytest.raises(EngineCorruptError):
        cells.recovered()


def test_the_incarnation_rises_durably_with_every_start() -> None:
    engine = MemoryEngine()
    assert EngineCells(engine).raise_incarnation() == 1
    assert EngineCells(engine.crashed()).raise_incarnation() == 2
    assert EngineCells(engine.crashed()).raise_incarnation() == 2


def cell_of(value: bytes | None, seq: int = 1) -> Cell:
    return Cell(Version(EPOCH, seq), Version(EPOCH, seq), value, 0, (), ZERO)


def test_what_is_remembered_is_bounded_in_number_and_in_bytes() -> None:
    recent = RecentCells(cells=3, value_bytes=160)
    for number in range(5):
        recent.put(0, b"%d" % number, cell_of(b"v"))
    assert [recent.get(0, b"%d" % n) is not None for n in range(5)] == [False] * 2 + [True] * 3
    recent.put(0, b"large", cell_of(b"v" * 11))
    assert recent.get(0, b"large") is None
    recent = RecentCells(cells=100, value_bytes=160)
    for number in range(20):
        recent.put(0, b"%d" % number, cell_of(b"v" * 10))
    assert sum(recent.get(0, b"%d" % n) is not None for n in range(20)) == 16
    recent.put(0, b"19", cell_of(None))
    recent.drop(0, b"18")
    recent.put(0, b"more", cell_of(b"v" * 10))
    assert recent.get(0, b"4") is not None


def test_what_the_disk_has_lost_is_not_remembered(tmp_path: Path) -> None:
    engine = RocksEngine(tmp_path / "engine")
    cells = EngineCells(engine)
    cells.apply([PutCell(7, b"k", cell_of(b"v"))])
    ((raw_key, raw),) = engine.scan(b"k", b"l", 10)
    engine.apply([Put(raw_key, raw[:-1] + bytes((raw[-1] ^ 1,)))])
    assert cells.get(7, b"k") == cell_of(b"v")
    assert cells.shown(7, b"k") == cell_of(b"v").shown
    assert cells.page(7, None, 10) == [(b"k", None)]
    for read in (cells.get, cells.shown):
        with pytest.raises(CorruptCellError):
            read(7, b"k")


def test_what_gets_find_is_remembered_within_bounds() -> None:
    engine = MemoryEngine()
    cells = EngineCells(engine)
    cells.apply([PutCell(0, b"large", cell_of(b"v" * (MOST_SHOWN_BYTES + 1)))])
    cells = EngineCells(engine)
    for number in range(MOST_CELLS + 10):
        assert cells.shown(0, b"%d" % number) is NOTHING
    assert cells.shown(0, b"large").value is not None
    assert len(cells._recent._shown) <= MOST_CELLS
    assert (0, b"large") not in cells._recent._shown
