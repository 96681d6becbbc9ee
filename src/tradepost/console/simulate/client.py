"""Requests that are sent until their outcome is known, always under the same key."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from tradepost.console.instance import Instance
from tradepost.console.simulate.journal import Journal
from tradepost.console.trouble import Trouble

ATTEMPT_S: Final = 60.0
PATIENCE_S: Final = 120.0  # with one request, over all of its attempts
PAUSE_S: Final = 0.1  # before the second attempt; then twice as long each time
LONGEST_PAUSE_S: Final = 5.0
UNKNOWN: Final = frozenset({408, 429, 500, 502, 503, 504})
IN_FLIGHT: Final = "request_in_flight"
JSON: Final = "application/json"
ORDERS: Final = "/order/orders"


class NoOutcome(Trouble):
    """Asked again and again, the server did not tell what became of it."""


class ServerGone(Trouble):
    """Asked again and again, the server did not answer at all: there is no point in going on."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What matters of an answer: of an order, a return or a problem."""

    order_id: str | None = None
    return_id: str | None = None
    number: str | None = None
    status: str | int | None = None
    total_amount: int | None = None
    currency: str | None = None
    error: str | None = None
    detail: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """`seconds` from the last attempt's sending to its answer."""

    status: int
    told: Told
    seconds: float


class _Lost(msgspec.Struct, frozen=True):
    """No outcome: why, and how long the server wants us to wait; `is_silence` when it did not answer at all."""

    why: str
    wait_s: float | None
    is_silence: bool = False


_decoder: Final = msgspec.json.Decoder(Told)
_page: Final = msgspec.json.Decoder(dict[str, Any])
NOTHING: Final = Told()


@dataclass
class Client:
    """The instance, over one session."""

    instance: Instance
    session: aiohttp.ClientSession
    journal: Journal
    retries: int = 0
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        self._orders = URL(f"{self.instance.url}{ORDERS}")  # made once: it is asked for all the time

    async def post(self, path: str, key: str, body: bytes) -> Answer:
        """The answer that tells the outcome. Errors: NoOutcome, ServerGone."""
        number = self.journal.asked("POST", path, key, body)
        until, pause_s = perf_counter() + self.patience_s, PAUSE_S
        while True:
            answer = await self._attempt(path, key, body)
            if isinstance(answer, Answer):
                self.journal.answered(number, answer.status, _kept(answer))
                return answer
            self.journal.lost(number, answer.why)
            wait_s = pause_s if answer.wait_s is None else answer.wait_s
            if perf_counter() + wait_s > until:
                raise (ServerGone if answer.is_silence else NoOutcome)(f"POST {path} under {key}: {answer.why}")
            self.retries += 1
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(wait_s)

    async def ask(self, body: bytes) -> Answer:
        """An order that is meant to be refused: no key, no journal. Errors: NoOutcome."""
        started = perf_counter()
        headers = {**self.instance.authorization(), "Content-Type": JSON}
        try:
            async with self.session.post(self._orders, data=body, headers=headers) as response:
                return Answer(response.status, _told(await response.read()), perf_counter() - started)
        except (aiohttp.ClientError, OSError) as error:
            raise NoOutcome(f"the server does not answer: {_why(error)}") from error

    async def page(self, path: str, query: Mapping[str, str]) -> tuple[Sequence[dict[str, Any]], bool]:
        """One page of a list, and whether there is more. Errors: NoOutcome."""
        try:
            headers = self.instance.authorization()
            async with self.session.get(f"{self.instance.url}{path}", params=query, headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise NoOutcome(f"GET {path}: {_why(error)}") from error
        if response.status != 200:
            raise NoOutcome(f"GET {path}: {response.status} {_told(content).error}")
        found = _page.decode(content)
        return found["data"], found["has_more"]

    async def _attempt(self, path: str, key: str, body: bytes) -> Answer | _Lost:
        started = perf_counter()
        headers = {**self.instance.authorization(), "Content-Type": JSON, "Idempotency-Key": key}
        url = self._orders if path == ORDERS else f"{self.instance.url}{path}"
        try:
            async with self.session.post(url, data=body, headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            return _Lost(_why(error), None, is_silence=True)
        told = _told(content)
        if response.status in UNKNOWN or told.error == IN_FLIGHT:
            return _Lost(told.error or str(response.status), _retry_after(response.headers.get("Retry-After")))
        return Answer(response.status, told, perf_counter() - started)


@asynccontextmanager
async def open_client(instance: Instance, journal: Journal, connections: int) -> AsyncIterator[Client]:
    """As many connections at once."""
    connector = aiohttp.TCPConnector(limit=connections)
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        yield Client(instance, session, journal)


def _told(content: bytes) -> Told:
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NOTHING


def _kept(answer: Answer) -> Mapping[str, object]:
    """What the journal keeps of an answer; `state` of an order or return, where a problem only repeats its status."""
    told = msgspec.to_builtins(answer.told)
    state = told.pop("status", None)
    return {**told, "state": state} if isinstance(state, str) else told


def _retry_after(header: str | None) -> float | None:
    return min(float(header), LONGEST_PAUSE_S) if header is not None and header.isdigit() else None


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
