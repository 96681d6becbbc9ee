"""One call in the shape in which it goes on to another process, and the answer in the shape in which it comes back."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote_from_bytes

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from tradepost.gateway.routes import Route
from tradepost.gateway.seal import Seal
from tradepost.gateway.wire import Headers, Message, Receive, end_to_end
from tradepost.kernel.http import call
from tradepost.kernel.http.endpoint import BODY_LIMIT, Idempotency

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
OURS: Final = frozenset({b"host", b"expect", b"content-length", b"x-request-id", b"traceparent"})  # said anew
PRINTABLE: Final = bytes(range(0x21, 0x7F))
DEADLINE_S: Final = 30.0  # from the end of the body to the end of the answer
IDLE_S: Final = 120.0  # nothing moves in an upload or its report


class ClientLeft(Exception):
    """Nobody is there to be answered."""


@dataclass(frozen=True, slots=True, eq=False)
class Forwarded:
    """What is sent on. `target` is path and query as they came; `deadline_s` is None for what goes on for ever,
    `idle_s` is set instead where only standing still is wrong."""

    scope: Message  # with the headers as the service gets them
    target: str
    headers: "CIMultiDict[str]"
    is_stream: bool
    is_upload: bool
    is_repeatable: bool
    expects: bool  # the client waits to be told to send its body
    length: int | None
    deadline_s: float | None
    idle_s: float | None

    @classmethod
    def of(cls, scope: Message, seal: Seal) -> "Forwarded":
        route, came = cast(Route, scope["route"]), call.Headers(dict(scope["headers"]))
        is_upload = route.takes_upload(scope["method"])
        headers = _identified(scope, came, seal)
        length = came.text(b"content-length")
        return cls(
            scope={**scope, "headers": headers},
            target=_target(scope),
            headers=CIMultiDict((name.decode("latin-1"), _text(value)) for name, value in headers),
            is_stream=route.is_stream,
            is_upload=is_upload,
            is_repeatable=_is_repeatable(scope["method"], route, came),
            expects=came.text(b"expect") is not None,
            length=int(length[:20]) if length is not None and length.isdecimal() else None,
            deadline_s=None if route.is_stream or is_upload else DEADLINE_S + call.wait_s(came),
            idle_s=IDLE_S if is_upload else None,
        )

    def url(self, instance: str) -> URL:
        """The same at `instance`."""
        return URL(instance + self.target, encoded=True)


class Body:
    """The call's body: whole in memory when it is small, else as it arrives."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive, self._length = receive, length
        self._head = b""
        self._more = True
        self._begun = False

    async def read(self, limit: int = BODY_LIMIT) -> None:
        """All of it, if it isn't longer than `limit` bytes. Errors: ClientLeft."""
        parts, length = [], 0
        if self._length is not None and self._length > limit:
            return
        while self._more and length <= limit:
            message = await self._next()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
        self._head = b"".join(parts)

    @property
    def is_whole(self) -> bool:
        """Nothing more comes from the client."""
        return not self._more

    @property
    def is_consumed(self) -> bool:
        """Part of it has been sent on and is not here any more."""
        return self._begun

    def to_send(self, moved: Callable[[], None]) -> bytes | AsyncIterator[bytes] | None:
        """What aiohttp takes; `moved` is called for each piece."""
        return self._pieces(moved) if self._more else self._head or None

    async def _pieces(self, moved: Callable[[], None]) -> AsyncIterator[bytes]:
        self._begun = True
        if self._head:
            yield self._head
        while self._more:
            message = await self._next()
            moved()
            if piece := message.get("body"):
                yield piece

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        self._more = message.get("more_body", False)
        return message


def answer_headers(response: aiohttp.ClientResponse) -> Headers:
    """Those that go on to the client."""
    dropped = (b"date", b"content-length") if response.status in (204, 304) else (b"date",)  # ours is said anyway
    kept = end_to_end([(name.lower(), value) for name, value in response.raw_headers])
    return [pair for pair in kept if pair[0] not in dropped]


def _identified(scope: Message, came: call.Headers, seal: Seal) -> Headers:
    """With one identity for both processes, and the client's address sealed."""
    kept = [pair for pair in scope["headers"] if pair[0] not in OURS]
    kept.append((b"x-request-id", call.request_id(came).encode()))
    kept.append((b"traceparent", call.traceparent(came).encode()))
    if client := scope.get("client"):
        kept.append(seal.header(client[0]))
    return kept


def _is_repeatable(method: str, route: Route, came: Mapping[str, Any]) -> bool:
    """Whether a second time changes nothing: by the method, or by a key that the endpoint honours."""
    if method in IDEMPOTENT:
        return True
    honours = method == route.endpoint.method and route.endpoint.idempotency is not Idempotency.IGNORED
    return honours and "idempotency-key" in came


def _target(scope: Message) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    whole = raw + b"?" + query if query else raw
    return whole.decode() if whole.isascii() else quote_from_bytes(whole, safe=PRINTABLE)


def _text(value: bytes) -> str:
    """What aiohttp, which sends UTF-8, turns into the same bytes again."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
