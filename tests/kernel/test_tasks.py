"""Tasks end although something swallows their first cancellation."""

import asyncio

from tradepost.kernel.tasks import end


async def test_a_cancellation_that_was_swallowed_is_said_again() -> None:
    began = asyncio.Event()

    async def deaf_once() -> None:
        try:
            began.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    task = asyncio.create_task(deaf_once())
    await began.wait()
    await end([task])

    assert task.cancelled()


async def test_nothing_to_end_is_fine() -> None:
    await end([])
