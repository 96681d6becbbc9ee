"""Answers that are sent as they are made, for as long as somebody listens; and those that wait until all was read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Final

from tradepost.kernel.http.call import Receive

AHEAD: Final = 1  # chunks made before the previous one is sent
IN_MEMORY: Final = 1024 * 1024  # bytes; more goes to a temporary file
PIECE: Final = 64 * 1024  # bytes of it


async def whole(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, of which the last is made before this returns: they report on an upload, and where an answer
    begins while its client still sends, proxies send no more of it, and many a client reads nothing before its end."""
    made: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `_contents` closes it
    try:
        async for chunk in chunks:
            made.write(chunk)
    except BaseException:
        made.close()
        raise
    finally:
        await _close(chunks)
    return _contents(made)


async def _contents(made: "SpooledTemporaryFile[bytes]") -> AsyncIterator[bytes]:
    with made:
        made.seek(0)
        while piece := made.read(PIECE):
            yield piece


class Stream:
    """What Falcon iterates over and closes: `chunks`, made in a task of their own that is cancelled when the client
    is gone."""

    def __init__(self, chunks: AsyncIterator[bytes], receive: Receive) -> None:
        self._sent = _until_gone(chunks, receive)

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._sent

    async def close(self) -> None:
        """Stop making chunks."""
        await self._sent.aclose()


async def _until_gone(chunks: AsyncIterator[bytes], receive: Receive) -> AsyncGenerator[bytes, None]:
    ready: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = asyncio.Semaphore(AHEAD)
    maker = asyncio.create_task(_make(chunks, ready, room))
    maker.add_done_callback(lambda _: ready.put_nowait(None))
    tasks = [maker, asyncio.create_task(_cancel_when_gone(receive, maker))]
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
        await _close(chunks)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    if close := getattr(chunks, "aclose", None):
        await close()


async def _cancel_when_gone(receive: Receive, maker: "asyncio.Task[None]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    maker.cancel()
