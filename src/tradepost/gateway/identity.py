"""Keeps the check of tokens up to date while it is in use: keys that were rotated, sessions that were ended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from tradepost.kernel.auth import Verifier
from tradepost.kernel.keys import CURRENT, load_or_create_keys

EVERY_S: Final = 1.0
SOONEST_S: Final = 0.2  # between two looks, whatever tokens ask for them
PATIENCE_S: Final = 5.0
TOLD_EVERY_S: Final = 5.0  # that we wait for the first keys

Public = Mapping[str, EllipticCurvePublicKey]  # by `kid`
EndedSessions = Callable[[], Awaitable[Iterable[str]]]  # their ids, as far as tokens of theirs may still be good

logger = structlog.get_logger()


class KeySource(Protocol):
    """Where public keys come from."""

    async def read(self) -> Public | None:
        """All keys that are good now; None when they are the same as at the last reading."""


class Folder:
    """The keys in the data folder, the first of which is made where there is none. Errors: UnusableKey."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None

    async def read(self) -> Public | None:
        if self._seen is None:
            load_or_create_keys(self._folder)
        found = self._file()  # before it is read: what is rotated after that is seen at the next look
        if found == self._seen:
            return None
        public = load_or_create_keys(self._folder).public
        self._seen = found
        return public

    def _file(self) -> tuple[int, int]:
        """What tells the file of one key from that of the next, even of the same moment."""
        status = (self._folder / CURRENT).stat()
        return status.st_mtime_ns, status.st_ino


class Identity:
    """The verifier of tokens that were signed with the keys of `source`; `ended` tells the sessions whose tokens are
    refused."""

    def __init__(self, source: KeySource, issuer: str, ended: EndedSessions) -> None:
        self._source, self._ended = source, ended
        self._missed = asyncio.Event()
        self._public = _Noticing(self._missed)
        self.verifier = Verifier(self._public, issuer)

    async def start(self) -> None:
        """Return when keys and sessions have been had once, however long that takes."""
        told_at = float("-inf")
        while True:
            try:
                return await self.refresh()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if monotonic() - told_at > TOLD_EVERY_S:
                    logger.warning("waiting_for_identity", why=str(error) or type(error).__name__)
                    told_at = monotonic()
                await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Look once at the keys and at the sessions. Errors: those of the source and of `ended`; TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            if (public := await self._source.read()) is not None:
                self._public.become(public)
        async with asyncio.timeout(PATIENCE_S):
            for session_id in await self._ended():
                self.verifier.revoke(session_id=session_id)

    async def keep_current(self) -> None:
        """Refresh every second, and at once for a token with a key that we don't know, until cancelled."""
        while True:
            await self._a_second_or_a_miss()
            try:
                await self.refresh()
            except Exception as error:
                logger.warning("identity_not_current", why=str(error) or type(error).__name__)

    async def _a_second_or_a_miss(self) -> None:
        await asyncio.sleep(SOONEST_S)
        try:
            async with asyncio.timeout(EVERY_S - SOONEST_S):
                await self._missed.wait()
        except TimeoutError:
            pass
        self._missed.clear()


class _Noticing(dict[str, EllipticCurvePublicKey]):
    """Keys by `kid`, which tell when one was asked for that isn't there."""

    def __init__(self, missed: asyncio.Event) -> None:
        super().__init__()
        self._missed = missed

    def get(self, kid: str, default: Any = None) -> Any:
        found = super().get(kid, default)
        if found is default:
            self._missed.set()
        return found

    def become(self, public: Public) -> None:
        """Hold these and no others; never without those that stay."""
        self.update(public)
        for kid in self.keys() - public.keys():
            del self[kid]
