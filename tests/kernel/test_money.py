"""Text becomes minor units and back without losing or inventing a cent."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.money import CURRENCIES, MAX_AMOUNT, InvalidAmount, UnknownCurrency, exponent, to_major, to_minor

currencies = st.sampled_from(sorted(CURRENCIES))
amounts = st.integers(min_value=0, max_value=MAX_AMOUNT)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.99", "USD", 1999),
        ("50", "USD", 5000),
        ("12.5", "EUR", 1250),
        (".99", "EUR", 99),
        ("5.", "EUR", 500),
        ("0", "EUR", 0),
        ("0.00", "JPY", 0),
        (" 19.990000 ", "USD", 1999),
        ("1299.00", "JPY", 1299),
        ("1.234", "KWD", 1234),
        ("1.2345", "CLF", 12345),
        ("00019.99", "USD", 1999),
        ("90071992547409.91", "USD", MAX_AMOUNT),
    ],
)
def test_a_plain_decimal_becomes_minor_units(text: str, currency: str, minor: int) -> None:
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "amount_missing"),
        ("  ", "amount_missing"),
        ("-1", "amount_negative"),
        ("-0.00", "amount_negative"),
        ("1,299.00", "amount_malformed"),
        ("1 299", "amount_malformed"),
        ("1_299", "amount_malformed"),
        ("12,50", "amount_malformed"),
        ("$5", "amount_malformed"),
        ("5 USD", "amount_malformed"),
        ("1e3", "amount_malformed"),
        ("+5", "amount_malformed"),
        ("NaN", "amount_malformed"),
        ("Infinity", "amount_malformed"),
        (".", "amount_malformed"),
        ("-", "amount_malformed"),
        ("1.2.3", "amount_malformed"),
        ("٣", "amount_malformed"),
        ("5\n6", "amount_malformed"),
        ("0" * 65, "amount_malformed"),
        ("19.999", "amount_too_precise"),
        ("90071992547409.92", "amount_too_large"),
        ("9" * 64, "amount_too_large"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, code: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        to_minor(text, "USD")

    assert refused.value.error == code


def test_a_currency_without_cents_takes_no_cents() -> None:
    with pytest.raises(InvalidAmount) as refused:
        to_minor("12.5", "JPY")

    assert refused.value.error == "amount_too_precise"


@pytest.mark.parametrize("currency", ["", "usd", "XXX", "BGN", "US", "USDT", "EUR "])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        exponent(currency)


def test_exponents_follow_iso_4217() -> None:
    assert {c: exponent(c) for c in ("USD", "EUR", "JPY", "KRW", "ISK", "HUF", "TWD", "MGA", "BHD", "TND", "UYW")} == {
        **{"USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "ISK": 0, "HUF": 2, "TWD": 2, "MGA": 2, "BHD": 3, "TND": 3},
        "UYW": 4,
    }


def test_all_active_currencies_are_there() -> None:
    assert len(CURRENCIES) == 165
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(1999, "USD", "19.99"), (5, "USD", "0.05"), (0, "KWD", "0.000"), (1299, "JPY", "1299"), (-5, "EUR", "-0.05")],
)
def test_minor_units_are_written_with_all_places(amount: int, currency: str, text: str) -> None:
    assert to_major(amount, currency) == text


@given(amounts, currencies)
def test_reading_what_was_written_gives_the_same_amount(amount: int, currency: str) -> None:
    assert to_minor(to_major(amount, currency), currency) == amount


@given(st.from_regex(r"[0-9]{0,20}(\.[0-9]{0,6})?", fullmatch=True), currencies)
def test_it_agrees_with_exact_decimal_arithmetic(text: str, currency: str) -> None:
    try:
        minor = to_minor(text, currency)
    except InvalidAmount:
        return
    with localcontext(prec=100):
        assert Decimal(minor) == Decimal(text).scaleb(exponent(currency))


@given(st.text(max_size=80), currencies)
def test_no_text_does_anything_but_convert_or_be_refused(text: str, currency: str) -> None:
    try:
        minor = to_minor(text, currency)
    except InvalidAmount:
        return
    assert 0 <= minor <= MAX_AMOUNT
