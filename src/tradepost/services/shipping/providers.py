"""Carriers: what they say in their webhooks, and whether it is really they who say it (Standard Webhooks)."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Malformed, Unauthenticated
from tradepost.kernel.http.decoding import decode_json
from tradepost.kernel.keys import UnusableKey, create_once, usable
from tradepost.services.shipping.domain.shipment import LOCAL, CarrierReport, Report, Status

TOLERANCE_S: Final = 300
SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105
ID_LIMIT: Final = 255  # characters


class LocalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The local carrier's webhook; what else is in it is passed over."""

    tracking_number: Annotated[str, Meta(min_length=1, max_length=64)]
    status: Status
    at: Annotated[datetime, Meta(tz=True)]
    location: Annotated[str, Meta(max_length=200)] | None = None
    description: Annotated[str, Meta(max_length=1000)] | None = None


_local: Final = msgspec.json.Decoder(LocalReport)


def parse_local(body: bytes) -> tuple[str, Report]:
    """Tracking number and report. Errors: Malformed, Invalid."""
    said = decode_json(_local, body)
    return said.tracking_number, Report(
        status=said.status, at=said.at, location=said.location, description=said.description
    )


CARRIERS: Final[Mapping[str, Callable[[bytes], tuple[str, Report]]]] = {LOCAL: parse_local}


def read_webhook(carrier: str, secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> CarrierReport:
    """What `carrier` says in a webhook. Errors: Unauthenticated `invalid_signature` unless it was signed with
    `secret` within five minutes of `now`; Malformed, Invalid."""
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(webhook_id) <= ID_LIMIT or not webhook_id.isprintable():
        raise Malformed("Send a `webhook-id` of 1-255 characters.", code="webhook_id_invalid")
    if not _is_recent(timestamp, now) or not _is_signed(secret, webhook_id, timestamp, body, headers):
        raise Unauthenticated("The webhook is not signed, or not lately.", code="invalid_signature")
    tracking_number, report = CARRIERS[carrier](body)
    return CarrierReport(carrier, webhook_id, tracking_number, report)


def sign(secret: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    """The signature as it stands in the header."""
    digest = hmac.digest(secret, f"{webhook_id}.{timestamp}.".encode("latin-1") + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def load_or_create_secret(folder: Path, carrier: str) -> bytes:
    """The carrier's secret from `folder`, made when there is none; only we can read its file. Errors: UnusableKey."""
    path = folder / f"{carrier}.webhook-secret"
    with usable(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            made = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            create_once(path, f"{SECRET_PREFIX}{made}\n".encode())
        content = path.read_bytes()
    try:
        return base64.b64decode(content.decode().strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UnusableKey(f"{path} does not hold `{SECRET_PREFIX}` and base64") from error


def _is_recent(timestamp: str, now: datetime) -> bool:
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    return abs(now.timestamp() - int(timestamp)) <= TOLERANCE_S


def _is_signed(secret: bytes, webhook_id: str, timestamp: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether one of the signatures, of which there are several while a secret is being changed, is right."""
    expected = sign(secret, webhook_id, timestamp, body).encode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected, one.encode("latin-1")) for one in given)
