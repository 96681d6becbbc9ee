"""What goes back over the wire, and how a handler's result becomes it."""

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tradepost.kernel.http.endpoint import Answer, Encoded, Page, Streamed

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_encode: Final = msgspec.json.Encoder().encode


class Reply(msgspec.Struct, frozen=True):
    """Status, headers and bytes; `chunks` instead of a body that is sent as it is made."""

    status: int
    body: bytes | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    chunks: AsyncIterator[bytes] | None = None


def render(result: object, status: int) -> Reply:
    """The reply to a call whose handler gave back `result`; `status` is the endpoint's usual one. None is a 204."""
    if isinstance(result, Answer):
        return _answer(result, status)
    if isinstance(result, Encoded):
        return Reply(status, result.json)
    if result is None:
        return Reply(204)
    if isinstance(result, Streamed):
        headers = {"content-type": result.content_type, **_safe(result.headers)}
        return Reply(result.status, None, headers, result.chunks)
    if isinstance(result, Page):
        return Reply(status, result.text.encode(), {"content-type": result.content_type})
    return Reply(status, _encode(result))


def _answer(answer: Answer[object], status: int) -> Reply:
    inner = render(answer.body, answer.status or status)
    etag = {} if answer.etag is None else {"etag": f'"{answer.etag}"'}
    headers = {**inner.headers, **_safe({**answer.headers, **etag})}
    return Reply(answer.status or inner.status, inner.body, headers, inner.chunks)


def _safe(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Errors: ValueError for a value that would end its header early, or that no header can hold."""
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise ValueError("a header that is not printable ASCII")
    return {name.lower(): value for name, value in headers.items()}
