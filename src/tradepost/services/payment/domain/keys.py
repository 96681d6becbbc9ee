"""The keys under which the provider is asked: made from what causes the asking, so that asking again is the same."""

from typing import Final

_PREFIX: Final = "order:"


def charge_key(order_id: str) -> str:
    """An order is charged once."""
    return f"{_PREFIX}{order_id}:charge:1"


def cancel_refund_key(order_id: str) -> str:
    """A cancelled order is refunded once."""
    return f"{_PREFIX}{order_id}:cancel-refund"


def return_refund_key(order_id: str, return_id: str) -> str:
    """A return is refunded once."""
    return f"{_PREFIX}{order_id}:return:{return_id}"


def staff_refund_key(order_id: str, refund_id: str) -> str:
    """A refund that staff asked for."""
    return f"{_PREFIX}{order_id}:refund:{refund_id}"


def retry_key(key: str) -> str:
    """The key of a refund that is asked for once more. What a first key ends in is never a bare number."""
    first, _, number = key.rpartition(":")
    return f"{first}:{int(number) + 1}" if number.isdecimal() else f"{key}:2"


def order_of(key: str) -> str | None:
    """The order that a key is about; None when it is none of ours."""
    prefix, _, rest = key.partition(":")
    order_id, colon, _ = rest.partition(":")
    return order_id if f"{prefix}:" == _PREFIX and colon else None


def keys_of(order_id: str) -> tuple[str, str]:
    """The range from and up to which all keys of an order lie, compared by bytes."""
    return f"{_PREFIX}{order_id}:", f"{_PREFIX}{order_id};"
