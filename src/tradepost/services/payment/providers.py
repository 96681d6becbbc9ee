"""What a payment provider must be able to do. Everything takes a batch, and is safe to ask again under the same key."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from tradepost.services.payment.domain.report import ChargeReport, Notice, RefundReport, Unknown
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A call: its headers by lower-case name, and its body as sent."""

    headers: Mapping[str, str]
    body: bytes


class Provider(Protocol):
    """The other side. Each request gets a word of its own, `Unknown` where no answer came. A call that raises
    TimeoutError or OSError leaves all of its requests unknown."""

    @property
    def name(self) -> str:
        """As in the path of its webhooks."""

    async def charge(self, requests: Sequence[ChargeRequest]) -> Sequence[ChargeReport | Unknown]:
        """Take money, once per key."""

    async def void(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """Give up the charges of these keys that were not captured; how they stand after it."""

    async def refund(self, requests: Sequence[RefundRequest]) -> Sequence[RefundReport | Unknown]:
        """Give money back, once per key."""

    async def find_charges(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """How the charges of these keys stand."""

    async def find_refunds(self, keys: Sequence[str]) -> Sequence[RefundReport | Unknown]:
        """How the refunds of these keys stand."""

    def read(self, webhook: Webhook, at: datetime) -> Notice:
        """What a webhook of this provider tells. Errors: InvalidSignature when the provider did not sign it just now,
        Malformed, Invalid."""
