"""The simulator's webhooks as they go over the wire: JSON in a body that is signed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tradepost.kernel.clock import rfc3339
from tradepost.kernel.http.decoding import decode_json
from tradepost.services.payment import signatures
from tradepost.services.payment.domain.report import ChargeReport, ChargeState, Notice, RefundReport, RefundState
from tradepost.services.payment.providers import Webhook
from tradepost.services.payment.simulator.bank import News


class _About(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    reference: str
    reason: str | None = None


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    type: str  # charge.captured, refund.failed and the like
    timestamp: str
    data: _About


_CHARGE_STATES: Final = frozenset(map(str, ChargeState))
_REFUND_STATES: Final = frozenset(map(str, RefundState))
_told: Final = msgspec.json.Decoder(_Told)


def write(secret: bytes, news: News, at: datetime) -> Webhook:
    """The webhook that tells `news` at `at`."""
    data = _About(key=news.key, reference=news.reference, reason=news.reason)
    body = msgspec.json.encode(_Told(type=f"{news.about}.{news.state}", timestamp=rfc3339(at), data=data))
    return Webhook(headers=signatures.sign(secret, news.event_id, at, body), body=body)


def read(secrets: Sequence[bytes], webhook: Webhook, at: datetime) -> Notice:
    """What a webhook tells. Errors: InvalidSignature, Malformed, Invalid."""
    event_id = signatures.verify(secrets, webhook.headers, webhook.body, at)
    told = decode_json(_told, webhook.body)
    about, _, state = told.type.partition(".")
    word: dict[str, Any] = msgspec.structs.asdict(told.data)
    if about == "charge" and state in _CHARGE_STATES:
        return Notice(event_id=event_id, report=ChargeReport(state=ChargeState(state), **word))
    if about == "refund" and state in _REFUND_STATES:
        return Notice(event_id=event_id, report=RefundReport(state=RefundState(state), **word))
    return Notice(event_id=event_id, report=None)
