"""A refusal of the gateway's own, as an answer over the wire."""

from collections.abc import Mapping
from http import HTTPStatus
from time import monotonic
from typing import Final

import structlog
from prometheus_client import Counter

from tradepost.gateway.wire import Headers, Message, Send
from tradepost.kernel.errors import Malformed, Refusal
from tradepost.kernel.http import call, problem
from tradepost.kernel.http.reply import Reply
from tradepost.kernel.telemetry import FIGURES

EARLY: Final[Mapping[int, tuple[str, str]]] = {
    400: (Malformed.code, "This is not HTTP/1.1."),
    408: ("request_timeout", "The request did not come to its end in time."),
    431: ("head_too_large", "The head of the request is too long."),
    503: ("stopping", "The server is being stopped. Send the request again."),
}

TOLD_EVERY_S: Final = 1.0  # of those who are refused early: a stranger must not fill the disk
PATH_LIMIT: Final = 200  # characters, in the log
REFUSED: Final = Counter(
    "tradepost_refused_early", "Clients who sent no call, or not all of one.", ["status"], registry=FIGURES
)
for _status in EARLY:
    REFUSED.labels(_status)  # at 0, so that the first counts

logger = structlog.get_logger()


class Ration:
    """Lines of the log, of which there is one in so many seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_at = float("-inf")
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """How many were left out before this one; None when it is left out, too."""
        if now < self._next_at:
            self._left_out += 1
            return None
        left_out, self._left_out, self._next_at = self._left_out, 0, now + self._every_s
        return left_out


_lines: Final = Ration(TOLD_EVERY_S)


async def refuse(refusal: Refusal, scope: Message, send: Send) -> None:
    """Answer with a problem."""
    came = call.Headers(dict(scope["headers"]))
    request_id = call.request_id(came)
    reply: Reply = problem.reply_to(refusal, scope["path"], request_id)
    body = reply.body or b""
    headers = _headers(reply, request_id, call.traceparent(came))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def early(status: int, scope: Message | None) -> bytes:
    """The answer to who sent no call, or not all of one, as bytes; `scope` where its head is known. As it passes by all
    that counts, it is counted here, and logged if none was within a second."""
    came = call.Headers(dict(scope["headers"]) if scope else {})
    request_id, path = call.request_id(came), scope["path"] if scope else None
    error, detail = EARLY[status]
    reply = problem.told(status, error, detail, path, request_id)
    REFUSED.labels(status).inc()
    left_out = _lines.take(monotonic())
    if left_out is not None:
        shown = path and path[:PATH_LIMIT]
        logger.info("refused_early", status=status, error=error, path=shown, request_id=request_id, left_out=left_out)
    headers = [*_headers(reply, request_id, call.traceparent(came)), (b"connection", b"close")]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (reply.body or b"")


def _headers(reply: Reply, request_id: str, traceparent: str) -> Headers:
    extra = {
        "x-request-id": request_id,
        "traceparent": traceparent,
        "x-content-type-options": "nosniff",
        "content-length": str(len(reply.body or b"")),
    }
    return [(name.encode(), value.encode()) for name, value in {**reply.headers, **extra}.items()]
