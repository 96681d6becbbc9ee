"""Hashing passwords with Argon2id, in a few threads and with a limit on how much waits for them."""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from tradepost.kernel.errors import Unavailable

MEMORY_KIB: Final = 19_456  # the OWASP minimum, as are the passes
PASSES: Final = 2
THREADS: Final = max(1, min(8, (os.cpu_count() or 2) - 1))  # one core stays free for everybody else
WAITING: Final = 256  # about 20 ms each
RETRY_AFTER_S: Final = 2

T = TypeVar("T")


class Passwords:
    """Hashes and checks; `common` are the passwords that everybody tries first, in lower case."""

    def __init__(self, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB, waiting: int = WAITING) -> None:
        self.common = frozenset(files(__package__).joinpath("common_passwords.txt").read_text().split())
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._limit = waiting
        self._waiting = 0
        self._nobody = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """A salted hash of the exact bytes. Errors: Unavailable when too many wait."""
        return await self._run(partial(self._hasher.hash, password.encode()))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether `stored` is a hash of `password`; as slow when there is none. Errors: Unavailable."""
        matches = await self._run(partial(self._matches, password.encode(), stored or self._nobody))
        return matches and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Drop what waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: bytes, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: "partial[T]") -> T:
        if self._waiting >= self._limit:
            raise Unavailable("Too many log-ins at once.", code="overloaded", retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
