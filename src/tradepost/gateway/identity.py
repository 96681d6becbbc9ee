"""Keeps the check of tokens up to date while it is in use: keys that were rotated, sessions that were ended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from tradepost.kernel.auth import Verifier
from tradepost.kernel.keys import CURRENT, load_or_create_keys

EVERY_S: Final = 1.0
PATIENCE_S: Final = 5.0

EndedSessions = Callable[[], Awaitable[Iterable[str]]]  # their ids, as far as tokens of theirs may still be good

logger = structlog.get_logger()


class Identity:
    """The keys in `folder`, and the verifier of the tokens that were signed with them; `ended` tells the sessions whose
    tokens are refused. Errors: ValueError for a file that isn't a key."""

    def __init__(self, folder: Path, issuer: str, ended: EndedSessions) -> None:
        self._folder, self._ended = folder, ended
        self._public: dict[str, EllipticCurvePublicKey] = dict(load_or_create_keys(folder).public)
        self._read_at = self._changed_at()
        self.verifier = Verifier(self._public, issuer)

    async def refresh(self) -> None:
        """Look once at the keys and at the sessions."""
        changed_at = self._changed_at()
        if changed_at != self._read_at:
            self._read_keys()
            self._read_at = changed_at
        async with asyncio.timeout(PATIENCE_S):
            for session_id in await self._ended():
                self.verifier.revoke(session_id=session_id)

    async def keep_current(self) -> None:
        """Refresh every second until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.refresh()
            except Exception as error:
                logger.warning("identity_not_current", why=str(error) or type(error).__name__)

    def _read_keys(self) -> None:
        public = load_or_create_keys(self._folder).public
        self._public.update(public)
        for kid in self._public.keys() - public.keys():
            del self._public[kid]

    def _changed_at(self) -> int:
        return (self._folder / CURRENT).stat().st_mtime_ns
