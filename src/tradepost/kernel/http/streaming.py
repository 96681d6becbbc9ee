"""Answers that are sent as they are made, for as long as somebody listens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from tradepost.kernel.http.call import Receive

AHEAD: Final = 1  # chunks made before the previous one is sent


class Stream:
    """What Falcon iterates over and closes: `chunks`, made in a task of their own that is cancelled when the client
    is gone. Without `receive`, because an upload still reads from it, only the server's end stops them."""

    def __init__(self, chunks: AsyncIterator[bytes], receive: Receive | None) -> None:
        self._sent = _until_gone(chunks, receive)

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._sent

    async def close(self) -> None:
        """Stop making chunks."""
        await self._sent.aclose()


async def _until_gone(chunks: AsyncIterator[bytes], receive: Receive | None) -> AsyncGenerator[bytes, None]:
    ready: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = asyncio.Semaphore(AHEAD)
    maker = asyncio.create_task(_make(chunks, ready, room))
    maker.add_done_callback(lambda _: ready.put_nowait(None))
    tasks = [maker] if receive is None else [maker, asyncio.create_task(_cancel_when_gone(receive, maker))]
    try:
        while (chunk := await ready.get()) is not None:
            yield chunk
            room.release()
        if not maker.cancelled():
            maker.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _make(chunks: AsyncIterator[bytes], ready: asyncio.Queue[bytes | None], room: asyncio.Semaphore) -> None:
    try:
        async for chunk in chunks:
            await room.acquire()
            ready.put_nowait(chunk)
    finally:
        if close := getattr(chunks, "aclose", None):
            await close()


async def _cancel_when_gone(receive: Receive, maker: "asyncio.Task[None]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    maker.cancel()
