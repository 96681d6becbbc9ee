"""What people say of themselves, checked and brought into one form."""

import re
from typing import Final

import email_validator

from tradepost.kernel.errors import FieldError, Invalid

NAME_LIMIT: Final = 200  # characters
PRIVATE_DOMAINS: Final = ("local", "test")

_PHONE: Final = re.compile(r"\+?(?:[ ()./-]{0,3}[0-9]){5,19}")

# The library's documented way to allow them: a shop in a private network has such addresses.
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in PRIVATE_DOMAINS
]


def parse_email(text: str, pointer: str = "/email") -> str:
    """The address in plain ASCII, its domain in lower case; the part before the @ keeps its case, which never tells
    two accounts apart. Errors: Invalid `invalid_email`."""
    try:
        # Without DNS: a look-up would be slow, and a domain that is down today is no reason to refuse.
        parsed = email_validator.validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False)
    except email_validator.EmailNotValidError as error:
        detail = "This is not an e-mail address that can be written to."
        raise Invalid(detail, code="invalid_email", errors=[FieldError(pointer, str(error))]) from None
    assert parsed.ascii_email is not None
    return parsed.ascii_email


def login_name(text: str) -> str:
    """What an account is found by: the address in lower case; what is no address is found nowhere."""
    try:
        return parse_email(text).lower()
    except Invalid:
        return text.strip().lower()


def parse_name(text: str) -> str:
    """Without surrounding blanks. Errors: Invalid."""
    name = text.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        detail = f"Expected 1-{NAME_LIMIT} printable characters on one line."
        raise Invalid("The name can't be used.", errors=[FieldError("/name", detail)])
    return name


def parse_phone(text: str | None) -> str | None:
    """As written; None for none. Errors: Invalid."""
    phone = (text or "").strip()
    if phone and not _PHONE.fullmatch(phone):
        detail = "Expected 5-19 digits, with a + in front for the country, such as +1 555 010 0199."
        raise Invalid("The phone number can't be used.", errors=[FieldError("/phone", detail)])
    return phone or None
