"""The journal: JSON lines of what was asked, written before it is sent, and of what was answered."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from tradepost.kernel.clock import now

SYNC_S: Final = 0.25  # at most so much is lost when the machine goes down; nothing when only we do

_encoder: Final = msgspec.json.Encoder()


class Journal:
    """Each line is handed to the operating system at once. Without a file nothing is written."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._count = 0
        self._unsynced = False

    def asked(self, method: str, path: str, key: str, body: bytes) -> int:
        """The number of this request, which its answer is to carry."""
        self._count += 1
        if self._file is not None:
            parts = {"at": now(), "n": self._count, "method": method, "path": path, "key": key}
            self._write({**parts, "body": msgspec.Raw(body or b"null")})
        return self._count

    def answered(self, number: int, status: int, told: Mapping[str, object]) -> None:
        """`told`: what matters of the answer."""
        if self._file is not None:
            self._write({"at": now(), "n": number, "status": status, **told})

    def lost(self, number: int, why: str) -> None:
        """No answer, or none that tells the outcome: the same is asked again under the same key."""
        if self._file is not None:
            self._write({"at": now(), "n": number, "lost": why})

    def _write(self, line: Mapping[str, object]) -> None:
        assert self._file is not None
        rest = memoryview(_encoder.encode(line) + b"\n")
        while rest:  # a disk that fills up takes a part
            rest = rest[os.write(self._file, rest) :]
        self._unsynced = True

    async def keep_synced(self) -> None:
        """Until cancelled: to the disk, every so often."""
        while True:
            await asyncio.sleep(SYNC_S)
            if self._file is not None and self._unsynced:
                self._unsynced = False
                await asyncio.to_thread(os.fsync, self._file)


@asynccontextmanager
async def open_journal(path: Path | None) -> AsyncIterator[Journal]:
    """A journal that goes on at the end of `path`; None for none at all. Errors: OSError."""
    if path is None:
        yield Journal(None)
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    journal = Journal(file)
    syncing = asyncio.create_task(journal.keep_synced())
    try:
        yield journal
    finally:
        syncing.cancel()
        with suppress(asyncio.CancelledError):
            await syncing
        os.fsync(file)
        os.close(file)
