"""The public keys of the user service, asked of its instances by processes that have no key file."""

from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec
import structlog

from tradepost.gateway.identity import Public
from tradepost.kernel.keys import keys_of

PATH: Final = "/.well-known/jwks.json"
PATIENCE_S: Final = 2.0
LIMIT: Final = 64 * 1024  # bytes

logger = structlog.get_logger()


class Unreachable(OSError):
    """No instance of the user service told its keys."""


class JwkSet:
    """The set at the first of `urls` that answers; the one that did is asked first the next time."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self._session, self._urls = session, list(urls)
        self._last = b""

    async def read(self) -> Public | None:
        """Errors: Unreachable."""
        why: list[str] = []
        for url in tuple(self._urls):
            try:
                told = await self._ask(url)
                public = None if told == self._last else keys_of(msgspec.json.decode(told))
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
                why.append(f"{url}: {error or type(error).__name__}")
                self._urls.append(self._urls.pop(0))
                continue
            self._last = told
            return public
        raise Unreachable(f"the keys of the service user can't be had: {'; '.join(why)}")

    async def _ask(self, url: str) -> bytes:
        patience = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with self._session.get(url + PATH, allow_redirects=False, timeout=patience) as response:
            response.raise_for_status()
            return await response.content.read(LIMIT)
