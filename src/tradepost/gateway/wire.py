"""The shapes of ASGI, and the headers that are between two neighbours only."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
NEEDED: Final = frozenset({b"host", b"content-length", b"content-type"})  # whatever `Connection` says of them


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without what is between two neighbours only, by name or because `Connection` names it. Lower-case names."""
    kept, named = [], b""
    for pair in headers:
        if pair[0] not in HOP_BY_HOP:
            kept.append(pair)
        elif pair[0] == b"connection":
            named += b"," + pair[1].lower()
    if named in (b"", b",close", b",keep-alive"):
        return kept
    dropped = {name.strip() for name in named.split(b",")} - NEEDED
    return [pair for pair in kept if pair[0] not in dropped]
