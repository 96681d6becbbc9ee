"""Letters: which there are, what they say, and when the next try to send one is due."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from tradepost.kernel.errors import FieldError, Invalid
from tradepost.services.user.domain.secret import link_token

Kind = Literal["verify_email", "reset_password"]
Notice = Literal["email_changed", "password_changed"]

LIFE_OF_LINK: Final[Mapping[Kind, timedelta]] = {
    "verify_email": timedelta(days=3),
    "reset_password": timedelta(hours=1),
}
LIFE_OF_NOTICE: Final = timedelta(days=1)
LINKS_LIMIT: Final = 3  # of a kind, for one account
LINKS_WINDOW: Final = timedelta(minutes=15)
TRIES: Final = 8
FIRST_PAUSE: Final = timedelta(seconds=10)


class InvalidLink(Invalid):
    """The link is wrong, used or too old."""

    code = "invalid_link"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, errors=[FieldError("/token", detail)])


@dataclass(frozen=True, slots=True)
class Template:
    """`{link}` in the text is the one-time link to `page`."""

    subject: str
    text: str
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter to write; `link_id` names the link that it carries."""

    id: str
    template: str
    recipient: str
    link_id: str | None
    attempts: int
    expires_at: datetime


# Nothing that the account's owner chose is in the text: a stranger's address must not become a way to send him spam.
TEMPLATES: Final[Mapping[str, Template]] = {
    "verify_email": Template(
        "Confirm your e-mail address",
        "Hello,\n\nplease confirm that this is your e-mail address:\n\n{link}\n\n"
        "The link is good for three days and works once. If you did not ask for it, ignore this letter.\n",
        "/account/verify-email",
    ),
    "reset_password": Template(
        "Choose a new password",
        "Hello,\n\nhere you can choose a new password:\n\n{link}\n\n"
        "The link is good for an hour and works once. If you did not ask for it, ignore this letter: "
        "your password stays as it is.\n",
        "/account/reset-password",
    ),
    "email_changed": Template(
        "Your e-mail address was changed",
        "Hello,\n\nyour account now has another e-mail address. If that was not you, please write to us.\n",
    ),
    "password_changed": Template(
        "Your password was changed",
        "Hello,\n\nthe password of your account was changed, and other devices were logged out. "
        "If that was not you, please choose a new one with \u201cForgot password\u201d, and write to us.\n",
    ),
}


def compose(letter: Letter, public_url: str, key: bytes) -> tuple[str, str]:
    """Subject and text. The secret stands behind a `#`, which browsers send to no server, so it is in no log."""
    template = TEMPLATES[letter.template]
    token = link_token(key, letter.link_id) if letter.link_id is not None else ""
    return template.subject, template.text.format(link=f"{public_url}{template.page}#token={token}")


def next_try(attempts: int, now: datetime) -> datetime | None:
    """When to try again after this many attempts; None when it is time to give up."""
    return now + FIRST_PAUSE * 2 ** (attempts - 1) if attempts < TRIES else None
