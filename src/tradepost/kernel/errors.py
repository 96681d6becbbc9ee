"""Refusals with a stable code; the HTTP status of each kind is decided in `http/problem.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One field that was refused: `pointer` is a JSON pointer into the body (`""` is all of it, `/name` a column of a
    file), or `?name` for a query parameter."""

    pointer: str
    detail: str


class Refusal(Exception):
    """A request that is answered with a problem; `code` is stable, `detail` says what to do."""

    code: ClassVar[str] = "refused"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """`extra` becomes members of the problem; `retry_after_s` the header `Retry-After`."""
        super().__init__(detail or self.code)
        self.error = code or self.code
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s


class Malformed(Refusal):
    """The request can't be read at all (400)."""

    code = "malformed_request"


class Unauthenticated(Refusal):
    """No valid token (401)."""

    code = "unauthenticated"


class PaymentRequired(Refusal):
    """The money could not be had (402)."""

    code = "payment_failed"


class Forbidden(Refusal):
    """The caller is known and may not (403)."""

    code = "forbidden"


class NotFound(Refusal):
    """There is no such thing, or none that the caller may know of (404)."""

    code = "not_found"


class Conflict(Refusal):
    """The state of things does not allow it (409)."""

    code = "conflict"


class Stale(Refusal):
    """`If-Match` names a version that is no longer the current one (412)."""

    code = "stale_version"


class TooLarge(Refusal):
    """The body is over its limit (413)."""

    code = "body_too_large"


class UnsupportedMedia(Refusal):
    """The body is not of a type that this endpoint reads (415)."""

    code = "unsupported_media_type"


class Invalid(Refusal):
    """Well-formed but not acceptable (422)."""

    code = "invalid_request"


class TooMany(Refusal):
    """The caller is over its rate (429)."""

    code = "rate_limited"


class Unavailable(Refusal):
    """Not now: overload or a part that is down (503)."""

    code = "unavailable"


class UpstreamFailed(Refusal):
    """Another process was asked and broke off without an answer (502)."""

    code = "upstream_failed"


class UpstreamLate(Refusal):
    """Another process was asked and did not answer in time (504)."""

    code = "upstream_timeout"
