"""A call as it came in: its identity, its wishes and its bytes."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from falcon.asgi import Request as FalconRequest

from tradepost.kernel.errors import Malformed, TooLarge
from tradepost.kernel.ids import new_id

WAIT_LIMIT_S: Final = 30

Receive = Callable[[], Awaitable[Any]]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_WAIT: Final = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


class Headers(Mapping[str, str]):
    """The request's headers by lower-case name, decoded when they are asked for."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def text(self, name: bytes) -> str | None:
        """As `get`, for those who are in a hurry."""
        value = self._raw.get(name)
        return None if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Call(FalconRequest):
    """Falcon's request, except that a client that leaves in the middle of a body is an error, not an end of file."""

    __slots__ = ("_following", "_opening", "header", "query_bytes")

    def __init__(self, scope: dict[str, Any], receive: Receive, first_event: Any = None, options: Any = None) -> None:
        self.query_bytes: bytes = scope["query_string"]
        if self.query_bytes:  # decoded by `decoding`, strictly
            scope = {**scope, "query_string": b""}
        super().__init__(scope, receive, first_event, options)
        self._opening = first_event
        self._following = receive
        self.header = Headers(self._asgi_headers)

    @property
    def address(self) -> str:
        """Of the client, as the server saw it."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def receive(self) -> Receive:
        """What comes after the body: the news that the client is gone."""
        return self._following

    async def read(self, limit: int) -> bytes:
        """The whole body. Errors: TooLarge over `limit` bytes, said or counted; Malformed when it is cut short."""
        announced = self.header.text(b"content-length") or ""
        if announced.isdecimal() and int(announced[:20]) > limit:
            raise _too_large(limit)
        event = self._opening
        if not event.get("more_body"):
            body: bytes = event.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            return body
        return await self._join(limit)

    async def _join(self, limit: int) -> bytes:
        parts, length = [], 0
        async for chunk in self.chunks():
            length += len(chunk)
            if length > limit:
                raise _too_large(limit)
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Errors: Malformed when the client leaves before its end."""
        event = self._opening
        while True:
            if chunk := event.get("body"):
                yield chunk
            if not event.get("more_body"):
                return
            event = await self._following()
            if event["type"] == "http.disconnect":
                raise Malformed("The body was cut short.", code="incomplete_body")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body may have {limit} bytes.", extra={"limit": limit})


def request_id(headers: Headers) -> str:
    """The client's `X-Request-Id` when it is safe to repeat, else a new one."""
    given = headers.text(b"x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_id()


def traceparent(headers: Headers) -> str:
    """The trace that the call belongs to, or the start of a new one (W3C Trace Context)."""
    given = headers.text(b"traceparent")
    if given is not None and _TRACEPARENT.fullmatch(given) and (len(given) == 55 or not given.startswith("00")):
        return given[:55]
    fresh = secrets.token_hex(24)
    return f"00-{fresh[:32]}-{fresh[32:]}-01"


def wait_s(headers: Headers) -> int:
    """N of `Prefer: wait=N` (RFC 7240), at most 30; 0 when it isn't there or can't be read."""
    preferred = headers.text(b"prefer")
    found = _WAIT.search(preferred) if preferred else None
    return min(int(found[1]), WAIT_LIMIT_S) if found else 0


def if_match(headers: Headers) -> str | None:
    """The version in `If-Match`, bare. A weak one counts too: proxies that compress weaken what we sent."""
    given = headers.text(b"if-match")
    return given.strip().removeprefix("W/").strip('"') if given is not None else None
