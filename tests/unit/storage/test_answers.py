"""The way out of a pipeline: one write at a time, in order, and nothing is left behind."""

from __future__ import annotations

import asyncio

from becket.api.v1 import key_value_pb2 as kv
from becket.storage.answers import PIPELINE_BATCHES, Answers


class Stream:
    """Notes what is written; a write may be made to wait."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.writing = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, answer: kv.PipelineResponse) -> None:
        """As a stream's: two at a time are an error."""
        assert not self.writing
        self.writing += 1
        await self.gate.wait()
        self.writing -= 1
        self.written.append(answer.batch_id)


def answer(number: int, *, more: bool = False) -> kv.PipelineResponse:
    return kv.PipelineResponse(batch_id=number, more=more)


async def turns() -> None:
    """Let everybody do what can be done."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_reader_writes_where_nobody_else_does() -> None:
    stream = Stream()
    answers = Answers(stream.write)
    await answers.write_now(answer(1))
    assert stream.written == [1]
    answers.put(answer(2))
    await answers.write_now(answer(3))
    assert stream.written == [1], "what was put first goes first"
    answers.end()
    await answers.write_all()
    assert stream.written == [1, 2, 3]


async def test_one_write_at_a_time_and_none_is_lost_at_the_end() -> None:
    stream = Stream()
    answers = Answers(stream.write)
    writing = asyncio.create_task(answers.write_all())
    stream.gate.clear()
    reading = asyncio.create_task(answers.write_now(answer(1)))
    await turns()
    answers.put(answer(2))
    answers.end()
    await turns()
    assert not writing.done(), "the stream ends after what is being written"
    stream.gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(writing, reading)
    assert stream.written == [1, 2]
    answers.put(answer(3))
    await answers.write_now(answer(4))
    await answers.write_all()
    assert stream.written == [1, 2]


async def test_a_batch_takes_its_room_until_its_last_part_has_left() -> None:
    stream = Stream()
    answers = Answers(stream.write)
    for _ in range(PIPELINE_BATCHES):
        await answers.wait_for_room()
    waiting = asyncio.create_task(answers.wait_for_room())
    await answers.write_now(answer(1, more=True))
    await turns()
    assert not waiting.done()
    await answers.write_now(answer(1))
    async with asyncio.timeout(5):
        await waiting
