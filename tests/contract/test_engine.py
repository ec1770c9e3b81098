"""What every engine guarantees; a crash is made by copying the files, or the synced state."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict

from becket.adapters.engines.memory import MemoryEngine
from becket.adapters.engines.rocks import RocksEngine, RocksSettings
from becket.core.errors import InvalidInputError
from becket.ports.engine import (
    Change,
    Delete,
    DeleteRange,
    Engine,
    EngineCorruptError,
    EngineFailedError,
    Put,
)
from tests.flipping import flip_a_bit

END = b"\xff" * 8


class Memory:
    """The engine in memory, and what a crash leaves of it."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()

    def crashed(self) -> Engine:
        """The engine that the next process opens."""
        return self.engine.crashed()


class Rocks:
    """RocksDB in a folder; a crash is a copy of the files as they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = 0
        self.engine = RocksEngine(folder / "engine")

    def crashed(self) -> Engine:
        """The engine that the next process opens."""
        self._copies += 1
        copy = self._folder / f"copy{self._copies}"
        shutil.copytree(self._folder / "engine", copy, ignore=shutil.ignore_patterns("LOCK"))
        return RocksEngine(copy)


Kept = Memory | Rocks


@pytest.fixture(params=["memory", "rocks"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Memory() if request.param == "memory" else Rocks(tmp_path)


def content(engine: Engine) -> list[tuple[bytes, bytes]]:
    """Everything."""
    return engine.scan(b"", END, 10_000)


def test_a_batch_is_seen_at_once_and_in_order(kept: Kept) -> None:
    kept.engine.apply([Put(b"a", b"1"), Put(b"b", b"2"), Delete(b"a"), Put(b"a", b"3")])
    assert kept.engine.get(b"a") == b"3"
    assert kept.engine.get(b"missing") is None
    assert content(kept.engine) == [(b"a", b"3"), (b"b", b"2")]


def test_a_range_is_deleted_half_open_and_only_what_came_before(kept: Kept) -> None:
    kept.engine.apply([Put(key, b"v") for key in (b"a", b"b", b"bb", b"c")])
    kept.engine.apply([DeleteRange(b"b", b"c"), Put(b"bz", b"new")])
    assert [key for key, _ in content(kept.engine)] == [b"a", b"bz", b"c"]


def test_a_scan_is_ordered_bounded_and_half_open(kept: Kept) -> None:
    kept.engine.apply([Put(b"%03d" % n, b"v") for n in range(50)])
    assert [k for k, _ in kept.engine.scan(b"010", b"020", 100)] == [
        b"%03d" % n for n in range(10, 20)
    ]
    assert [k for k, _ in kept.engine.scan(b"010", b"020", 3)] == [b"010", b"011", b"012"]
    assert kept.engine.scan(b"020", b"010", 3) == []


def test_empty_values_and_any_bytes_are_kept(kept: Kept) -> None:
    for key in (b"\x00", b"\xfe\x00", bytes(range(256))):
        kept.engine.apply([Put(key, b"")])
        assert kept.engine.get(key) == b""


def test_after_a_sync_everything_survives_a_crash(kept: Kept) -> None:
    kept.engine.apply([Put(b"a", b"1")])
    kept.engine.sync()
    kept.engine.apply([Put(b"b", b"2")])
    kept.engine.flush()
    again = kept.crashed()
    assert content(again) == [(b"a", b"1"), (b"b", b"2")]
    again.close()


def test_after_close_nothing_is_written(kept: Kept) -> None:
    kept.engine.close()
    with pytest.raises(EngineFailedError):
        kept.engine.apply([Put(b"a", b"1")])
    with pytest.raises(EngineFailedError):
        kept.engine.sync()


KEYS = st.sampled_from([b"a", b"b", b"ba", b"c", b"d\x00"])
CHANGES = st.one_of(
    st.builds(Put, KEYS, st.binary(max_size=4)),
    st.builds(Delete, KEYS),
    st.builds(DeleteRange, KEYS, KEYS).filter(lambda change: change.start < change.end),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(CHANGES, max_size=6), max_size=6))
def test_engines_agree_with_a_dictionary(kept: Kept, batches: list[list[Change]]) -> None:
    kept.engine.apply([DeleteRange(b"", END)])
    model: dict[bytes, bytes] = {}
    for batch in batches:
        kept.engine.apply(batch)
        for change in batch:
            if isinstance(change, Put):
                model[change.key] = change.value
            elif isinstance(change, Delete):
                model.pop(change.key, None)
            else:
                for key in [k for k in model if change.start <= k < change.end]:
                    del model[key]
        assert content(kept.engine) == sorted(model.items())


# What only files can do


def test_rocks_an_open_folder_cannot_be_opened_again(tmp_path: Path) -> None:
    engine = RocksEngine(tmp_path / "engine")
    with pytest.raises(EngineCorruptError, match="lock"):
        RocksEngine(tmp_path / "engine")
    engine.close()


def test_rocks_a_checkpoint_is_a_whole_copy(tmp_path: Path) -> None:
    engine = RocksEngine(tmp_path / "engine")
    engine.apply([Put(b"a", b"1")])
    engine.checkpoint(tmp_path / "copy")
    engine.apply([Put(b"a", b"2")])
    copy = RocksEngine(tmp_path / "copy")
    assert copy.get(b"a") == b"1"
    with pytest.raises(InvalidInputError, match="folder"):
        engine.checkpoint(tmp_path / "copy")


def test_rocks_a_damaged_table_is_not_opened_as_if_nothing_were_wrong(tmp_path: Path) -> None:
    engine = RocksEngine(tmp_path / "engine")
    engine.apply([Put(b"%05d" % n, os.urandom(100)) for n in range(2000)])
    engine.flush()
    engine.close()
    for manifest in (tmp_path / "engine").glob("MANIFEST-*"):
        manifest.write_bytes(b"damaged" * 10)
    with pytest.raises(EngineCorruptError):
        RocksEngine(tmp_path / "engine")


def with_a_flipped_bit(folder: Path) -> int:
    """Some hundred keys in one table, of which a bit is turned round; how many keys there were."""
    engine = RocksEngine(folder)
    keys = [b"k%05d" % number for number in range(2000)]
    engine.apply([Put(key, os.urandom(50)) for key in keys])
    engine.flush()
    engine.close()
    flip_a_bit(folder)
    return len(keys)


def test_rocks_what_does_not_read_is_never_absent(tmp_path: Path) -> None:
    count = with_a_flipped_bit(tmp_path / "engine")
    engine = RocksEngine(tmp_path / "engine")
    with pytest.raises(EngineCorruptError, match="checksum"):
        engine.scan(b"k", END, 10_000)
    assert len(engine.scan(b"k", END, 100)) == 100, "before the damage all is there"
    assert len(engine.scan(b"k01900", END, 1000)) == 100, "and behind it"
    unreadable = 0
    for number in range(count):
        try:
            assert engine.get(b"k%05d" % number) is not None
        except EngineCorruptError:
            unreadable += 1
    assert 0 < unreadable < count // 4
    engine.close()


def test_rocks_writes_go_on_beside_damage_only_without_compaction(tmp_path: Path) -> None:
    with_a_flipped_bit(tmp_path / "engine")

    def write_often(engine: RocksEngine, times: int) -> None:
        for number in range(times):
            place = number % 20 * 100
            engine.apply([Put(b"k%05d" % place, b"new"), Put(b"z", b"%d" % number)])
            engine.flush()

    engine = RocksEngine(tmp_path / "engine")
    with pytest.raises(EngineFailedError) as raised:
        write_often(engine, 1000)  # until the compaction that this calls for has failed
    assert raised.value.is_corrupt
    engine.close()
    engine = RocksEngine(tmp_path / "engine", compacts=False)
    write_often(engine, 12)
    assert engine.get(b"z") == b"11"
    engine.close()


class Refusing:
    """A database that fails at everything, in the words of RocksDB."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __getattr__(self, name: str) -> NoReturn:
        raise Exception(self._words)  # noqa: TRY002 - as rocksdict does


@pytest.mark.parametrize(
    ("words", "is_damage"),
    [
        ("Corruption: block checksum mismatch: stored = 1, computed = 2", True),
        ("IO error: No such file or directory: While open a file: 000012.sst", True),
        ("IO error: While pread offset 0 len 4096: 000012.sst: Input/output error", True),
        ("IO error: No space left on device: While appending to file: 000013.log", False),
        ("IO error: While open a file for random read: 000012.sst: Too many open files", False),
        ("DB is closed", False),
    ],
)
def test_rocks_only_damage_is_called_damage(tmp_path: Path, words: str, *, is_damage: bool) -> None:
    engine = RocksEngine(tmp_path / "engine")
    engine._db = Refusing(words)  # type: ignore[assignment]
    with pytest.raises(Exception, match=words.partition(":")[0]) as raised:
        engine.get(b"k")
    assert isinstance(raised.value, EngineCorruptError) == is_damage
    with pytest.raises(EngineFailedError) as failed:
        engine.sync()
    assert failed.value.is_corrupt == is_damage


def test_rocks_settings_are_those_of_this_start(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    RocksEngine(folder, RocksSettings(write_buffer_mib=8)).close()
    RocksEngine(folder, RocksSettings(write_buffer_mib=4), compacts=False).close()
    log = (folder / "LOG").read_text()
    assert "Options.write_buffer_size: 4194304" in log
    assert "Options.disable_auto_compactions: 1" in log


def test_rocks_an_index_and_a_filter_fit_into_the_cache(tmp_path: Path) -> None:
    """One for a whole table does not, and is read and unpacked again for every key (118 us)."""
    engine = RocksEngine(tmp_path)
    engine.apply([Put(b"k", b"v")])
    engine.flush()
    engine.close()
    said = (tmp_path / max(f.name for f in tmp_path.glob("OPTIONS-*"))).read_text()
    for setting in (
        "index_type=kTwoLevelIndexSearch",
        "partition_filters=true",
        "metadata_block_size=4096",
        "cache_index_and_filter_blocks=true",
    ):
        assert setting in said


def test_rocks_tables_that_were_written_with_one_index_are_read(tmp_path: Path) -> None:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003
    old = Rdict(str(tmp_path), options)
    old[b"old"] = b"1"
    old.flush()
    old.close()
    engine = RocksEngine(tmp_path)
    engine.apply([Put(b"new", b"2")])
    engine.flush()
    assert (engine.get(b"old"), engine.get(b"new")) == (b"1", b"2")
    assert engine.scan(b"", END, 9) == [(b"new", b"2"), (b"old", b"1")]
    engine.close()


@pytest.mark.parametrize("field", ["cache_mib", "write_buffer_mib", "write_buffers", "open_files"])
def test_rocks_settings_name_the_field(field: str) -> None:
    with pytest.raises(InvalidInputError, match=field):
        RocksSettings(**{field: 0})


WRITER = """
import sys
from pathlib import Path
from becket.adapters.engines.rocks import RocksEngine
from becket.ports.engine import Put
engine = RocksEngine(Path(sys.argv[1]))
number = 0
while True:
    engine.apply([Put(b"n", b"%d" % number), Put(b"m", b"%d" % number)])
    engine.sync()
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_rocks_kill_9_loses_nothing_that_was_synced(tmp_path: Path, acknowledged: int) -> None:
    """This test kills a real process."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "engine")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert writer.stdout is not None
    last = -1
    for _ in range(acknowledged):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    engine = RocksEngine(tmp_path / "engine")
    assert int(engine.get(b"n") or b"-1") >= last
    assert engine.get(b"n") == engine.get(b"m"), "a batch is there as a whole or not at all"
