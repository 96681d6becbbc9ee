"""Movements: why units come and go, and which reasons staff may give."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from tradepost.kernel.errors import FieldError, Invalid


class Reason(StrEnum):
    """Why `on_hand` changed."""

    OPENING = "opening"  # a new SKU came with stock
    SOLD = "sold"
    CANCELLED = "cancelled"  # sold, but it never left
    RETURNED = "returned"
    RECEIVED = "received"
    FOUND = "found"
    CORRECTION = "correction"
    SYNCED = "synced"  # another system said so
    DAMAGED = "damaged"
    LOST = "lost"
    STOLEN = "stolen"
    EXPIRED = "expired"


class StaffReason(StrEnum):
    """The reasons that staff may give."""

    RECEIVED = "received"
    RETURNED = "returned"
    FOUND = "found"
    CORRECTION = "correction"
    DAMAGED = "damaged"
    LOST = "lost"
    STOLEN = "stolen"
    EXPIRED = "expired"


INWARD: Final = frozenset({StaffReason.RECEIVED, StaffReason.RETURNED, StaffReason.FOUND})
OUTWARD: Final = frozenset({StaffReason.DAMAGED, StaffReason.LOST, StaffReason.STOLEN, StaffReason.EXPIRED})


class WrongSign(Invalid):
    """The reason tells the direction, and the quantity tells the other one."""

    code: ClassVar[str] = "wrong_sign"


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """`quantity` units came, or went when negative; `on_hand` is what there was then."""

    sku: str
    quantity: int
    reason: Reason
    on_hand: int
    reference: str | None = None
    order_id: str | None = None


def check_direction(reason: StaffReason, quantity: int) -> None:
    """Errors: WrongSign when goods that were received go out, damaged ones come in, or nothing moves."""
    if quantity == 0:
        raise _wrong("A movement moves at least one unit.")
    if reason in INWARD and quantity < 0:
        raise _wrong(f"{reason} adds units: send a positive quantity.")
    if reason in OUTWARD and quantity > 0:
        raise _wrong(f"{reason} takes units away: send a negative quantity.")


def _wrong(detail: str) -> WrongSign:
    return WrongSign(detail, errors=[FieldError("/quantity", detail)])
