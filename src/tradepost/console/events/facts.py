"""What an event says in a few words: amounts, reasons, numbers, whatever its type is about."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tradepost.kernel.log.batch import Raw
from tradepost.kernel.money import to_major

NAMES: Final = (
    "number", "name", "status", "reason", "payment_method", "transaction_id", "tracking_number", "carrier",
    "channel", "template", "sku", "delta", "available", "threshold", "location", "refund_id", "return_id", "paid",
    "restocked", "delivery_time",
)  # fmt: skip
AMOUNTS: Final = ("total_amount", "amount")
LINES: Final = ("items", "missing")


def facts(event: Raw) -> str:
    """One line; empty where there is nothing but the key."""
    data: Mapping[str, Any] = msgspec.json.decode(event.data)
    told = [_amount(data[name], data.get("currency")) for name in AMOUNTS if name in data]
    told += [_line(line) for name in LINES for line in data.get(name, ())]
    told += [f"{name} {_text(data[name])}" for name in NAMES if data.get(name) not in (None, "", False)]
    return plain(", ".join(told))


def plain(text: str) -> str:
    """Without what a terminal would obey, or take for another line: customers choose some of it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _amount(minor: int, currency: str | None) -> str:
    return str(minor) if currency is None else f"{to_major(minor, currency)} {currency}"


def _line(line: Mapping[str, Any]) -> str:
    count = line.get("quantity", line.get("requested"))
    return f"{count} x {line.get('sku')}" + (f" of {line['available']}" if "requested" in line else "")


def _text(value: object) -> str:
    return "yes" if value is True else str(value)
