"""The way out for letters: SMTP."""

from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final

import aiosmtplib

from tradepost.kernel.mail import MailServer

TIMEOUT_S: Final = 20.0


class Undeliverable(Exception):
    """The server will not take the letter, now or later; its `code`, unlike its text, names nobody."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """A mail server, and who writes."""

    server: MailServer
    sender: str

    async def send(self, *, message_id: str, recipient: str, subject: str, text: str) -> None:
        """Hand one letter over. Errors: Undeliverable, and SMTPException or OSError when another try may succeed."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, recipient, subject
        message["Message-ID"] = f"<{message_id}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            await aiosmtplib.send(
                message,
                timeout=TIMEOUT_S,
                **self.server.options,
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
