"""What a provider says, whether as an answer or by webhook: one vocabulary for both."""

from enum import StrEnum

import msgspec


class ChargeState(StrEnum):
    """How a charge stands at the provider."""

    PROCESSING = "processing"  # accepted; the rest follows by webhook
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    DECLINED = "declined"
    VOIDED = "voided"
    MISSING = "missing"  # the provider knows of no such charge


class RefundState(StrEnum):
    """How a refund stands at the provider."""

    PENDING = "pending"  # accepted; the rest follows by webhook
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"  # the provider knows of no such refund


class ChargeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's word on the charge of this key; `reason` is the decline code."""

    key: str
    state: ChargeState
    reference: str | None = None
    action_url: str | None = None
    reason: str | None = None


class RefundReport(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's word on the refund of this key."""

    key: str
    state: RefundState
    reference: str | None = None
    reason: str | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """No word came back: what was asked may have happened or not."""

    key: str
    why: str


Report = ChargeReport | RefundReport


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, verified: the provider's id of the event, and its word; None when it is about something else."""

    event_id: str
    report: Report | None
