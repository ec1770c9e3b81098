"""What waits for a peer goes out gathered, bounded, and never to the wrong stream."""

from __future__ import annotations

import asyncio

from becket.storage.outboxes import Outbox


def ready(outbox: Outbox[int]) -> asyncio.Task[list[int]]:
    return asyncio.create_task(outbox.take())


async def test_everything_of_one_turn_goes_together() -> None:
    outbox: Outbox[int] = Outbox()
    outbox.begin()
    taking = ready(outbox)
    await asyncio.sleep(0)
    outbox.put(1)
    outbox.put(2)
    assert await taking == [1, 2]


async def test_the_next_message_waits_until_the_last_was_taken() -> None:
    outbox: Outbox[int] = Outbox()
    outbox.begin()
    outbox.put(1)
    assert await outbox.take() == [1]
    taking = ready(outbox)
    outbox.put(2)
    await asyncio.sleep(0)
    outbox.put(3)
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.acked()
    assert await taking == [2, 3]


async def test_a_message_that_earns_no_answer_holds_up_the_next_one_shortly() -> None:
    outbox: Outbox[int] = Outbox()
    outbox.begin()
    outbox.put(1)
    await outbox.take()
    outbox.put(2)
    async with asyncio.timeout(5):
        assert await outbox.take() == [2]


async def test_a_message_has_a_limit() -> None:
    outbox: Outbox[int] = Outbox(batch=3)
    outbox.begin()
    for number in range(5):
        outbox.put(number)
    assert await outbox.take() == [0, 1, 2]
    outbox.acked()
    assert await outbox.take() == [3, 4]


async def test_a_full_outbox_drops_the_oldest_and_counts_it() -> None:
    outbox: Outbox[int] = Outbox(limit=3)
    outbox.begin()
    for number in range(5):
        outbox.put(number)
    assert outbox.dropped == 2
    assert await outbox.take() == [2, 3, 4]


async def test_the_end_of_the_stream_wakes_whoever_takes() -> None:
    outbox: Outbox[int] = Outbox()
    outbox.begin()
    taking = ready(outbox)
    await asyncio.sleep(0)
    outbox.put(1)
    outbox.end()
    assert await taking == []
    outbox.clear()
    outbox.put(2)
    outbox.begin()
    assert await outbox.take() == [2]
