"""Money is a count of minor units beside an ISO 4217 code; here text becomes such a count and back, exactly."""

import re
from typing import Final

from tradepost.kernel.errors import Invalid

MAX_AMOUNT: Final = 2**53 - 1
"""Minor units; the largest integer that every JSON reader, JavaScript included, keeps exact."""

_MAX_TEXT: Final = 64  # characters

_WITHOUT_CENTS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
_TEN_THOUSANDTHS: Final = "CLF UYW"
_HUNDREDTHS: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP
    COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR
    JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN
    NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
    THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""

_EXPONENTS: Final = {
    **dict.fromkeys(_WITHOUT_CENTS.split(), 0),
    **dict.fromkeys(_HUNDREDTHS.split(), 2),
    **dict.fromkeys(_THOUSANDTHS.split(), 3),
    **dict.fromkeys(_TEN_THOUSANDTHS.split(), 4),
}

CURRENCIES: Final = frozenset(_EXPONENTS)
"""The active codes of ISO 4217 list one up to amendment 180 (BGN left in January 2026), less those that have no minor
unit and so no price: metals, drawing rights, bond units, `XTS` and `XXX`."""

_AMOUNT: Final = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?")


class UnknownCurrency(Invalid):
    """Not an active ISO 4217 code in capitals."""

    code = "currency_unknown"


class InvalidAmount(Invalid):
    """A text that is no amount of money; `error` is one of `amount_missing`, `amount_malformed`, `amount_negative`,
    `amount_too_precise`, `amount_too_large`."""

    code = "amount_malformed"


def exponent(currency: str) -> int:
    """Decimal places between the unit and its minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    places = _EXPONENTS.get(currency)
    if places is None:
        raise UnknownCurrency(f"{currency[:16]!r} is not an active ISO 4217 code")
    return places


def to_minor(text: str, currency: str) -> int:
    """`"12.5"` in USD is 1250. Plain digits with a point only: no sign, no separators, no symbol, no `1e3`.

    Zeros beyond the currency's places are let through, other digits there are refused: nothing is ever rounded.
    """
    places = exponent(currency)
    whole, fraction = _split(text.strip())
    kept = fraction.rstrip("0")
    if len(kept) > places:
        raise InvalidAmount(
            f"{text.strip()!r} has more than {places} decimals of {currency}", code="amount_too_precise"
        )
    amount = int(whole + kept.ljust(places, "0") or "0")
    if amount > MAX_AMOUNT:
        raise InvalidAmount(f"{text.strip()!r} is above {to_major(MAX_AMOUNT, currency)}", code="amount_too_large")
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
        raise InvalidAmount("no amount is given", code="amount_missing")
    match = _AMOUNT.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None or not (match[2] or match[3]):
        raise InvalidAmount(
            f"{text[:_MAX_TEXT]!r} is not a plain decimal number such as 1299.00", code="amount_malformed"
        )
    if match[1]:
        raise InvalidAmount(f"{text!r} is negative", code="amount_negative")
    return match[2], match[3] or ""
