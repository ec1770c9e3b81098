"""Batches at a member: what is done is told while others of the batch wait."""

from __future__ import annotations

import asyncio
from typing import Any

from becket.adapters import clocks
from becket.adapters.rpc.operations import parse_batch
from becket.api.v1 import key_value_pb2 as kv
from becket.core.limits import Limits
from becket.core.replication.cells import Answer, Attempt, Outcome, Reason, Result, Verdict
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.storage.calls import Calls, Outcomes, Space


class FakeRing:
    """Every key is in partition 0."""

    def partitions_of(self, keys: Any) -> list[int]:  # noqa: ANN401
        return [0 for _ in keys]


class FakeView:
    ring = FakeRing()


class FakeShell:
    """Keeps the attempts; a test answers them."""

    def __init__(self) -> None:
        self.attempts: dict[bytes, Attempt] = {}
        self.on_answer: Any = None
        self._last = 0

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def stamp_of(self, partition: int) -> Any:  # noqa: ANN401
        del partition
        return ZERO

    def submit(self, attempts: list[Attempt], batch: Any, *, trace: str) -> None:  # noqa: ANN401
        del trace
        self.attempts.update((attempt.key, attempt) for attempt in attempts)
        self.on_answer = batch

    def answer(self, *keys: bytes) -> None:
        """Let these writes be done."""
        for key in keys:
            done = (Result(Verdict.DONE, ZERO),)
            found = self.attempts[key]
            self.on_answer(Answer(found.id, Outcome.OK, done, Reason.NONE, ZERO, "", 0))


def calls(shell: FakeShell) -> Calls:
    view: Any = FakeView()
    made: Any = shell
    return Calls(made, view, Space(), answer_bytes=1000)


def puts(*keys: bytes) -> Any:  # noqa: ANN401
    operations = [kv.Operation(put=kv.PutRequest(key=key, value=b"v")) for key in keys]
    return parse_batch(operations, Limits())


async def test_a_part_tells_what_is_done_and_the_last_answer_the_rest() -> None:
    shell, parts, told = FakeShell(), [], asyncio.Event()

    def on_part(part: Outcomes) -> None:
        parts.append(part)
        told.set()

    made = calls(shell)
    running = asyncio.create_task(made.execute(puts(b"a", b"b", b"c"), 5, on_part=on_part))
    await asyncio.sleep(0)
    shell.answer(b"a", b"c")
    async with asyncio.timeout(5):
        await told.wait()
    assert [(part.places, len(part.results)) for part in parts] == [([0, 2], 2)]
    assert made.latencies.p99(clocks.monotonic_us())[1] == 2, "told is no longer waited for"
    shell.answer(b"b")
    last = await running
    assert (last.places, len(last.results)) == ([1], 1)
    assert len(parts) == 1
    assert made.latencies.p99(clocks.monotonic_us())[1] == 3


async def test_what_is_done_together_is_told_at_once() -> None:
    shell = FakeShell()
    running = asyncio.create_task(calls(shell).execute(puts(b"a", b"b"), 5, on_part=lambda _: None))
    await asyncio.sleep(0)
    shell.answer(b"a", b"b")
    last = await running
    assert (last.places, len(last.results)) == ([], 2)


async def test_no_parts_are_told_to_who_did_not_ask_for_them() -> None:
    shell = FakeShell()
    running = asyncio.create_task(calls(shell).execute(puts(b"a", b"b"), 0.05))
    await asyncio.sleep(0)
    shell.answer(b"a")
    last = await running  # its own time ends the other
    assert last.places == []
    results = map(kv.Result.FromString, last.results)
    assert [result.WhichOneof("result") for result in results] == ["put", "status"]


class LeasedShell(FakeShell):
    """Answers reads at once, but for those of key ``slow``."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[int, bytes]] = []
        self.stamp = Version(Epoch(1, "d", 1), 1)

    def read_now(self, places: list[tuple[int, bytes]]) -> list[Result | None]:
        self.read += places
        found = Result(Verdict.DONE, self.stamp, b"v")
        return [None if key == b"slow" else found for _, key in places]

    def stamp_of(self, partition: int) -> Version:
        assert partition == 0
        return self.stamp


def batch(*operations: str) -> Any:  # noqa: ANN401
    """``-a`` reads key a, ``+a`` writes it."""
    made = [
        kv.Operation(get=kv.GetRequest(key=each[1:].encode()))
        if each[0] == "-"
        else kv.Operation(put=kv.PutRequest(key=each[1:].encode(), value=b"w"))
        for each in operations
    ]
    return parse_batch(made, Limits())


async def test_reads_under_a_lease_are_no_attempts() -> None:
    shell = LeasedShell()
    begun = calls(shell).begin(batch("-a", "-b", "-a"), 5)
    assert (begun.left, shell.attempts) == (0, {})
    assert shell.read == [(0, b"a"), (0, b"b"), (0, b"a")]
    outcomes = begun.outcomes()
    values = [kv.Result.FromString(each).get.entry.value for each in outcomes.results]
    assert values == [b"v"] * 3
    assert [stamp.partition for stamp in outcomes.stamps] == [0]


async def test_reads_of_keys_that_the_batch_writes_keep_their_place() -> None:
    shell = LeasedShell()
    begun = calls(shell).begin(batch("-a", "+b", "-b", "-slow"), 5)
    assert shell.read == [(0, b"a"), (0, b"slow")]
    assert {key: len(each.operations) for key, each in shell.attempts.items()} == {
        b"b": 2,
        b"slow": 1,
    }
    assert begun.left == 3


async def test_what_is_read_at_once_does_not_wait_for_the_rest_of_its_batch() -> None:
    shell, parts, told = LeasedShell(), [], asyncio.Event()

    def on_part(part: Outcomes) -> None:
        parts.append(part)
        told.set()

    made = calls(shell)
    running = asyncio.create_task(made.execute(batch("-a", "+b"), 5, on_part=on_part))
    async with asyncio.timeout(5):
        await told.wait()
    assert [part.places for part in parts] == [[0]]
    shell.answer(b"b")
    last = await running
    assert last.places == [1]


async def test_a_stamp_is_told_once_over_a_stream() -> None:
    shell, told = LeasedShell(), dict[int, Version]()
    made = calls(shell)

    def stamps(known: dict[int, Version] | None) -> list[int]:
        begun = made.begin(batch("-a"), 5, told=known)
        return [stamp.version.sequence for stamp in made.close(begun).stamps]

    assert stamps(told) == [1]
    assert stamps(told) == []
    assert stamps(None) == [1]
    shell.stamp = Version(Epoch(1, "d", 1), 2)
    assert stamps(told) == [2]
    assert stamps({}) == [2], "another stream has told nothing yet"
