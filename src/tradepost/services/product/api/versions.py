"""`ETag` and `If-Match`: the version that staff edit, and what else there is to see."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from tradepost.kernel.errors import Stale
from tradepost.kernel.http.endpoint import Answer, Request

_encode = msgspec.json.Encoder().encode


def answer_with(view: Any, version: int, **more: Any) -> Answer[Any]:
    """The view under its `ETag`."""
    return Answer(view, etag=etag_of(_encode(view), version), **more)


def etag_of(json: bytes, version: int) -> str:
    """It changes with everything that is shown, stock too: only its first part is the version."""
    return f"{version}-{crc32(json):08x}"


def version_check(request: Request[Any, Any]) -> Callable[[int], None]:
    """A function that raises Stale unless `If-Match`, if sent, names the version that it is called with."""

    def check(current: int) -> None:
        if request.if_match not in (None, "*") and request.if_match.partition("-")[0] != str(current):
            raise Stale(f"The current version is {current}.")

    return check
