"""The mail server of the settings, and who writes: both are taken apart here, for all who send mail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import getaddresses
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from tradepost.kernel.settings_error import SettingsError

START_TLS: Final = {"smtp": None, "smtp+starttls": True, "smtps": False}  # None: if the server offers it
PORT: Final = 25
PORTS_WITH_LOGIN: Final = {"smtp": 587, "smtp+starttls": 587, "smtps": 465}

_ADDRESS: Final = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)*")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where it is, how the way there is encrypted, and as whom we hand our mail in."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    use_tls: bool
    start_tls: bool | None

    @property
    def options(self) -> Mapping[str, Any]:
        """As `aiosmtplib.send` takes them."""
        return {
            "hostname": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "use_tls": self.use_tls,
            "start_tls": self.start_tls,
        }


def mail_server_of(url: str) -> MailServer:
    """The server of `smtp://user:password@host:port`, which encrypts if it can, `smtp+starttls://`, which must, or
    `smtps://`, which does from the start. Errors: SettingsError, which names no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in START_TLS or not parts.hostname:
        raise SettingsError(
            "TRADEPOST_SMTP_URL is not of the form smtp://user:password@host:587, smtp+starttls://... or smtps://..."
        )
    usual = PORT if parts.scheme == "smtp" and not parts.username else PORTS_WITH_LOGIN[parts.scheme]
    return MailServer(
        host=parts.hostname,
        port=port or usual,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=parts.scheme == "smtps",
        start_tls=START_TLS[parts.scheme],
    )


def sender_of(text: str) -> str:
    """`shop@example.org` or `Shop <shop@example.org>`, as it was given, in one line. Errors: SettingsError."""
    addresses = [address for _, address in getaddresses([text])]
    is_one = len(addresses) == 1 and _ADDRESS.fullmatch(addresses[0]) and addresses[0] in text
    if not is_one or text.splitlines() != [text]:
        raise SettingsError(
            f"TRADEPOST_MAIL_FROM is {text!r}; expected shop@example.org, Shop <shop@example.org> or, with more than "
            'letters in its name, "Shop, Inc." <shop@example.org>'
        )
    return text
