"""Errors as RFC 9457 problems: the one place where a refusal gets its HTTP status."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

import asyncpg
import falcon
import msgspec
import structlog

from tradepost.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PaymentRequired,
    Refusal,
    Stale,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    UpstreamFailed,
    UpstreamLate,
)
from tradepost.kernel.http.reply import Reply

STATUS: Final[Mapping[type[Refusal], int]] = {
    Malformed: 400,
    Unauthenticated: 401,
    PaymentRequired: 402,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Invalid: 422,
    TooMany: 429,
    UpstreamFailed: 502,
    Unavailable: 503,
    UpstreamLate: 504,
}
RETRY_AFTER_S: Final = 1
MEDIA_TYPE: Final = "application/problem+json"

_ROUTING: Final = {
    404: ("no_such_path", "There is nothing at this path; /docs lists what there is."),
    405: ("method_not_allowed", "This path has other methods: `Allow` says which."),
}
_UNREADABLE: Final = (Malformed.code, "The request can't be read.")
_BUG: Final = "Something is wrong on our side. Try again; if it stays so, tell us the request_id."
_DATABASE_DOWN: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.OperatorInterventionError,  # shutting down, starting up, statement time-out
    asyncpg.TransactionRollbackError,  # deadlock, serialization failure
    asyncpg.LockNotAvailableError,
)
_log = structlog.get_logger(__name__)


def status_of(refusal: Refusal) -> int:
    """The HTTP status of this kind of refusal; 400 for one that is of no kind."""
    return STATUS.get(type(refusal)) or next((STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS), 400)


def reply_to(error: Exception, path: str, request_id: str) -> Reply:
    """The problem that answers `error`. Anything unexpected is logged, and nothing of it is told."""
    if isinstance(error, Refusal):
        return _refused(error, path, request_id)
    if isinstance(error, falcon.HTTPError):
        return _unrouted(error, path, request_id)
    if _is_outage(error):
        _log.warning("unavailable", request_id=request_id, path=path, exc_info=error)
        return _refused(Unavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S), path, request_id)
    _log.error("internal_error", request_id=request_id, path=path, exc_info=error)
    return told(500, "internal_error", _BUG, path, request_id)


def told(status: int, error: str, detail: str, path: str | None, request_id: str) -> Reply:
    """A problem that no refusal stands for; no `path` where none was read."""
    instance = {} if path is None else {"instance": path}
    return _reply(status, error, {"detail": detail, **instance, "request_id": request_id}, {})


def _is_outage(error: Exception) -> bool:
    """Whether the database, or something else behind a socket, can't be had right now."""
    if isinstance(error, asyncpg.InterfaceError):  # misuse too, which is a bug of ours
        return not isinstance(error, asyncpg.DataError | ValueError) and "clos" in str(error)
    return isinstance(error, (*_DATABASE_DOWN, OSError))  # OSError includes ConnectionError and TimeoutError


def _refused(refusal: Refusal, path: str, request_id: str) -> Reply:
    members: dict[str, object] = {"detail": refusal.detail} if refusal.detail else {}
    members |= {"instance": path, "request_id": request_id}
    errors = refusal.errors
    if not errors and isinstance(refusal, Invalid):
        errors = (FieldError("", str(refusal)),)
    if errors:
        members["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in errors]
    return _reply(status_of(refusal), refusal.error, {**refusal.extra, **members}, dict(_headers(refusal)))


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    if refusal.retry_after_s is not None:
        yield "retry-after", str(refusal.retry_after_s)
    elif isinstance(refusal, Unavailable):
        yield "retry-after", str(RETRY_AFTER_S)
    if isinstance(refusal, Unauthenticated):
        reason = ', error="invalid_token"' if refusal.error == "invalid_token" else ""
        yield "www-authenticate", f'Bearer realm="tradepost"{reason}'


def _unrouted(error: falcon.HTTPError, path: str, request_id: str) -> Reply:
    headers = {name.lower(): value for name, value in dict(error.headers or {}).items()}
    code, detail = _ROUTING.get(error.status_code, _UNREADABLE)
    reply = told(error.status_code, code, detail, path, request_id)
    return msgspec.structs.replace(reply, headers={**reply.headers, **headers})


def _reply(status: int, error: str, members: Mapping[str, object], headers: Mapping[str, str]) -> Reply:
    kind = _kind(status, error)
    body = msgspec.json.encode({**kind, "error": error, **members, **kind})
    return Reply(status, body, {"content-type": MEDIA_TYPE, **headers})


@cache
def _kind(status: int, error: str) -> Mapping[str, object]:
    return {"type": f"/problems/{error}", "title": error.replace("_", " ").capitalize(), "status": status}
