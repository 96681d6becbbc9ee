"""Signed webhooks as Standard Webhooks has them: HMAC-SHA256 over `id.timestamp.body`, with two active secrets."""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.keys import UnusableKey, create_once, usable

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE_S: Final = 300
ACTIVE_SECRETS: Final = 2
SECRET_BYTES: Final = 32
ID_LIMIT: Final = 255  # characters
SIGNATURES_LIMIT: Final = 8  # in one header

_PREFIX: Final = "whsec_"


class InvalidSignature(Unauthenticated):
    """Not signed with a secret of ours, or not now."""

    code = "invalid_signature"


def load_secrets(file: Path) -> tuple[bytes, ...]:
    """The secrets in `file`, one `whsec_...` a line, the newest first; the first two count. The file is made when there
    is none; of several processes that start at once one makes it. To rotate, put a new line on top.
    Errors: UnusableKey when it can't be read, or holds no secret."""
    with usable(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            create_once(file, f"{_PREFIX}{b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}\n".encode())
        content = file.read_bytes()
    try:
        lines = [line.strip() for line in content.decode().splitlines() if line.strip()]
        found = tuple(b64decode(line.removeprefix(_PREFIX), validate=True) for line in lines[:ACTIVE_SECRETS])
    except ValueError as error:
        raise UnusableKey(f"{file} holds a webhook secret that is not `{_PREFIX}` and base64") from error
    if not found or not all(found):
        raise UnusableKey(f"{file} holds no webhook secret")
    return found


def sign(secret: bytes, event_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """The headers of a webhook that is sent at `at`."""
    timestamp = str(int(at.timestamp()))
    return {ID: event_id, TIMESTAMP: timestamp, SIGNATURE: _signature(secret, event_id, timestamp, body)}


def verify(active: Sequence[bytes], headers: Mapping[str, str], body: bytes, at: datetime) -> str:
    """The webhook's id. Errors: InvalidSignature unless one of its signatures is by one of the active secrets, over
    the body as it was sent, and not more than five minutes from `at`."""
    event_id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    given = [text.encode() for text in headers.get(SIGNATURE, "").split(" ")[:SIGNATURES_LIMIT]]
    if not 0 < len(event_id) <= ID_LIMIT or not timestamp.isascii() or not timestamp.isdecimal():
        raise InvalidSignature(f"Send {ID}, {TIMESTAMP} and {SIGNATURE}.")
    expected = [_signature(secret, event_id, timestamp, body).encode() for secret in active]
    if not any([hmac.compare_digest(one, other) for one in expected for other in given]):  # noqa: C419 - all compared
        raise InvalidSignature("The signature is not by an active secret over this body.")
    if len(timestamp) > 12 or abs(at.timestamp() - int(timestamp)) > TOLERANCE_S:
        raise InvalidSignature("The webhook is not of the last five minutes.")
    return event_id


def _signature(secret: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    return f"v1,{b64encode(hmac.digest(secret, signed, sha256)).decode()}"
