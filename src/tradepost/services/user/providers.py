"""The way out for letters: SMTP."""

from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

TIMEOUT_S: Final = 20.0
PORTS: Final = {"smtp": 25, "smtps": 465}


class Undeliverable(Exception):
    """The server will not take the letter, now or later; its `code`, unlike its text, names nobody."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """A mail server, and who writes."""

    host: str
    port: int
    is_tls: bool
    username: str | None
    password: str | None
    sender: str

    async def send(self, *, message_id: str, recipient: str, subject: str, text: str) -> None:
        """Hand one letter over; `smtp` turns to TLS when the server offers it. Errors: Undeliverable, and
        SMTPException or OSError when another try may succeed."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, recipient, subject
        message["Message-ID"] = f"<{message_id}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            await aiosmtplib.send(
                message,
                hostname=self.host,
                port=self.port,
                use_tls=self.is_tls,
                username=self.username,
                password=self.password,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            if refused.code >= 500:
                raise Undeliverable(refused.code, refused.message) from error
            raise
        except aiosmtplib.SMTPDataError as error:
            if error.code >= 500:
                raise Undeliverable(error.code, error.message) from error
            raise


def smtp_of(url: str, sender: str) -> Smtp:
    """`smtp://user:password@host:587` or `smtps://...`. Errors: ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("TRADEPOST_SMTP_URL is not of the form smtp://user:password@host:port or smtps://...")
    return Smtp(
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        is_tls=parts.scheme == "smtps",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        sender=sender,
    )
