"""Money is a count of minor units beside an ISO 4217 code; here text becomes such a count and back, exactly."""

import re
from typing import Final

MAX_AMOUNT: Final = 2**53 - 1
"""Minor units; the largest integer that every JSON reader, JavaScript included, keeps exact."""

_MAX_TEXT: Final = 64  # characters

_WITHOUT_CENTS: Final = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THOUSANDTHS: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_TEN_THOUSANDTHS: Final = frozenset({"CLF", "UYW"})

CURRENCIES: Final = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BOV",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHE",
        "CHF",
        "CHW",
        "CLF",
        "CLP",
        "CNY",
        "COP",
        "COU",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MXV",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "USN",
        "UYI",
        "UYU",
        "UYW",
        "UZS",
        "VED",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAD",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
"""The active codes of ISO 4217 list one up to amendment 180 (BGN left in January 2026), less those that have no minor
unit and so no price: metals, drawing rights, bond units, `XTS` and `XXX`."""

_AMOUNT: Final = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?")


class UnknownCurrency(ValueError):
    """Not an active ISO 4217 code in capitals."""

    code = "currency_unknown"


class InvalidAmount(ValueError):
    """A text that is no amount of money; `code` is one of `amount_missing`, `amount_malformed`, `amount_negative`,
    `amount_too_precise`, `amount_too_large`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def exponent(currency: str) -> int:
    """Decimal places between the unit and its minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    if currency not in CURRENCIES:
        raise UnknownCurrency(f"{currency[:16]!r} is not an active ISO 4217 code")
    if currency in _WITHOUT_CENTS:
        return 0
    if currency in _THOUSANDTHS:
        return 3
    return 4 if currency in _TEN_THOUSANDTHS else 2


def to_minor(text: str, currency: str) -> int:
    """`"12.5"` in USD is 1250. Plain digits with a point only: no sign, no separators, no symbol, no `1e3`.

    Zeros beyond the currency's places are let through, other digits there are refused: nothing is ever rounded.
    """
    places = exponent(currency)
    whole, fraction = _split(text.strip())
    kept = fraction.rstrip("0")
    if len(kept) > places:
        raise InvalidAmount("amount_too_precise", f"{text.strip()!r} has more than {places} decimals of {currency}")
    amount = int(whole + kept.ljust(places, "0") or "0")
    if amount > MAX_AMOUNT:
        raise InvalidAmount("amount_too_large", f"{text.strip()!r} is above {to_major(MAX_AMOUNT, currency)}")
    return amount


def to_major(amount: int, currency: str) -> str:
    """1250 in USD is `"12.50"`; always with all the currency's places, and with a minus for a negative balance."""
    places = exponent(currency)
    if not places:
        return str(amount)
    digits = str(abs(amount)).rjust(places + 1, "0")
    return f"{'-' if amount < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _split(text: str) -> tuple[str, str]:
    if not text:
        raise InvalidAmount("amount_missing", "no amount is given")
    match = _AMOUNT.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None or not (match[2] or match[3]):
        raise InvalidAmount("amount_malformed", f"{text[:_MAX_TEXT]!r} is not a plain decimal number such as 1299.00")
    if match[1]:
        raise InvalidAmount("amount_negative", f"{text!r} is negative")
    return match[2], match[3] or ""
