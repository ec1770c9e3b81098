"""``bench``: what is drawn, how the loops count, what is said of errors, what is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from becket.cli import bench as benching
from becket.cli.bench import Order, load
from becket.cli.bench_driving import Drive, Driver
from becket.cli.bench_keys import MIXES, Action, Kind, Numbers, Shape, Zipf, actions, key_bytes
from becket.cli.bench_recording import LONGEST_US, Recording
from becket.cli.exits import UsageError
from becket.core.errors import BecketError, InvalidInputError, NotAppliedError, OutcomeUnknownError
from tests.unit.cli.conftest import Run

MS = 1_000_000


class CountingStore:
    """Notes what it is asked; answers after a turn of the loop, or when ``gate`` opens."""

    failures: tuple[type[Exception], ...] = (BecketError,)

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.entries: dict[bytes, bytes] = {}
        self.error: BecketError | None = None
        self.gate: asyncio.Event | None = None
        self.most_at_once = self._at_once = 0

    def outcome_of(self, error: Exception) -> str:
        return "unknown" if isinstance(error, OutcomeUnknownError) else "not done"

    async def _ask(self, what: str, count: int = 1) -> None:
        self.asked.append((what, count))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await (self.gate.wait() if self.gate is not None else asyncio.sleep(0))
        self._at_once -= 1
        if self.error is not None:
            raise self.error

    async def get(self, key: bytes) -> bytes | None:
        await self._ask("get")
        return self.entries.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        await self._ask("put")
        self.entries[key] = value

    async def get_many(self, keys: Sequence[bytes]) -> int:
        await self._ask("get", len(keys))
        return sum(key in self.entries for key in keys)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        await self._ask("put", len(keys))
        self.entries.update(dict.fromkeys(keys, value))

    async def scan(self, start: bytes, count: int) -> int:
        del start
        await self._ask("scan", count)
        return count


def drawn(mix: str, count: int, *, keys: int = 1000, shape: Shape | None = None) -> list[Action]:
    chosen = MIXES[mix]
    found = actions(chosen, shape or chosen.shape, Numbers(keys), "seed")
    return list(itertools.islice(found, count))


# What is drawn


def test_the_same_seed_asks_for_the_same() -> None:
    assert drawn("a", 500) == drawn("a", 500)
    other = actions(MIXES["a"], Shape.ZIPFIAN, Numbers(1000), "other")
    assert list(itertools.islice(other, 500)) != drawn("a", 500)


@pytest.mark.parametrize(("mix", "kind", "share"), [("a", Kind.PUT, 0.5), ("b", Kind.PUT, 0.05)])
def test_shares_of_a_mix(mix: str, kind: Kind, share: float) -> None:
    found = Counter(action.kind for action in drawn(mix, 20_000))
    assert found[kind] / 20_000 == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_zipf_keeps_its_range_and_its_shares(count: int) -> None:
    zipf, draws = Zipf(count), 50_000
    found = Counter(zipf.draw((n + 0.5) / draws) for n in range(draws))
    assert set(found) <= set(range(count))
    zeta = sum(1 / (k + 1) ** 0.99 for k in range(count))
    for k in range(min(2, count)):
        assert found[k] / draws == pytest.approx(1 / (k + 1) ** 0.99 / zeta, rel=0.01)


def test_popular_keys_lie_apart_and_in_range() -> None:
    numbers = [action.number for action in drawn("c", 10_000, keys=777)]
    assert min(numbers) >= 0
    assert max(numbers) < 777
    (first, _), (second, _) = Counter(numbers).most_common(2)
    assert abs(first - second) > 1


def test_inserts_are_new_keys_and_the_latest_are_popular() -> None:
    found = drawn("d", 20_000)
    inserted = [action.number for action in found if action.kind is Kind.INSERT]
    assert inserted == list(range(1000, 1000 + len(inserted)))
    read = [action.number for action in found[-2000:] if action.kind is Kind.GET]
    newest = 1000 + len(inserted)
    assert sum(number > newest - 200 for number in read) > len(read) / 2


def test_sequential_begins_anew_after_the_last() -> None:
    found = drawn("get", 7, keys=3, shape=Shape.SEQUENTIAL)
    assert [action.number for action in found] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("count", [0, 100_000_001])
def test_number_of_keys_has_limits(count: int) -> None:
    with pytest.raises(InvalidInputError, match="keys"):
        Numbers(count)


# How it is counted


def test_times_are_told_in_microseconds_and_cut_off_at_a_minute() -> None:
    recording = Recording()
    for took_ms in range(1, 1001):
        recording.note(took_ms * MS)
    recording.note(10**15)
    assert recording.percentile_us(50) == pytest.approx(500_000, rel=0.01)
    assert recording.percentile_us(100) == pytest.approx(LONGEST_US, rel=0.01)
    assert recording.row()["operations"] == 1001


async def test_closed_loop_keeps_so_many_in_flight() -> None:
    store = CountingStore()
    drive = Drive(30.0, in_flight=7, operations=70)
    recording = await Driver(store, drive, lambda _: iter(drawn("mixed", 100))).run()
    assert recording.done == len(store.asked) == 70
    assert store.most_at_once == 7


async def test_errors_are_counted_by_outcome_and_are_no_rate() -> None:
    store = CountingStore()
    store.error = OutcomeUnknownError("who knows")
    drive = Drive(30.0, in_flight=2, operations=10)
    recording = await Driver(store, drive, lambda _: iter(drawn("put", 100))).run()
    assert (recording.done, recording.failed) == (0, {"unknown": 10})
    assert recording.reasons == {"OutcomeUnknownError: who knows": 10}


async def test_open_loop_counts_from_when_a_call_was_due() -> None:
    store = CountingStore()
    store.gate = asyncio.Event()
    drive = Drive(30.0, in_flight=1, rate=2000, operations=20)
    driving = asyncio.create_task(Driver(store, drive, lambda _: iter(drawn("get", 100))).run())
    await asyncio.sleep(0.2)  # the store stands still: what is due meanwhile waits
    assert len(store.asked) == 1
    store.gate.set()
    recording = await driving
    assert recording.done == 20
    assert recording.percentile_us(1) > 150_000


async def test_load_writes_every_key_once() -> None:
    store = CountingStore()
    recording = await load(store, keys=250, value_bytes=10)
    assert set(store.entries) == {key_bytes(number) for number in range(250)}
    assert len(set(store.entries.values())) == 1
    assert recording.done >= 250
    assert {count for _, count in store.asked} == {100}


# The command


def opened(store: CountingStore) -> object:
    @asynccontextmanager
    async def open_it(_order: Order) -> AsyncIterator[CountingStore]:
        yield store

    return open_it


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingStore:
    store = CountingStore()
    monkeypatch.setattr(benching, "opened", opened(store))
    return store


SHORT = ("--duration", "50ms", "--warm-up", "0", "--keys", "100")


def test_report_and_picture(run: Run, counting: CountingStore, tmp_path: Path) -> None:
    report, plot = tmp_path / "report.json", tmp_path / "plot.png"
    result = run(
        "bench", "--mix", "a", *SHORT, "-o", "json", "--report", str(report), "--plot", str(plot)
    )
    assert result.exit_code == 0
    content = json.loads(report.read_text())
    assert json.loads(result.stdout) == content
    assert content["run"]["operations"] > 0
    assert content["run"]["absent"] == 0
    assert content["load"]["operations"] == 100
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert {what for what, _ in counting.asked} == {"get", "put"}


def test_nothing_done_is_told_by_the_exit_code(run: Run, counting: CountingStore) -> None:
    counting.error = NotAppliedError("nobody answers")
    result = run("bench", "--mix", "get", *SHORT, "--no-load")
    assert result.exit_code == 3
    assert "not done" in result.stdout
    assert "nobody answers" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mix", "e"), "--mix e is not one of get, put"),
        (("--mix", "a", "--batch", "2"), "--batch is for the mixes get, put and load"),
        (("--plot", "picture.txt"), "must end in one of .png"),
        (("--duration", "soon"), "--duration: soon is no time"),
    ],
)
def test_what_makes_no_sense(
    run: Run, counting: CountingStore, arguments: tuple[str, ...], said: str
) -> None:
    result = run("bench", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not counting.asked


def test_an_order_is_checked() -> None:
    with pytest.raises(UsageError, match="--mix"):
        Order("127.0.0.1:1", "none", Drive(1.0), 10)
