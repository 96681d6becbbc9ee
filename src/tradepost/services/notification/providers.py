"""The ways out: SMTP, an SMS gateway that takes JSON, and the mailbox, which keeps everything here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate, parseaddr
from typing import Final, Protocol

import aiohttp
import aiosmtplib

from tradepost.kernel.mail import MailServer, mail_server_of
from tradepost.services.notification.domain import Channel
from tradepost.settings import NotificationSettings

SEND_TIMEOUT_S: Final = 20.0
REASON_LIMIT: Final = 500  # characters

_WORTH_ANOTHER_TRY: Final = frozenset({401, 403, 404, 408, 425, 429})  # theirs to mend, or ours, but not the message's


class NotSent(Exception):
    """The message was not taken; `for_good` when it never will be. `code` is the server's, if it gave one: unlike its
    text that names nobody, so it may be logged."""

    def __init__(self, reason: str, *, for_good: bool = False, code: int | None = None) -> None:
        super().__init__(reason[:REASON_LIMIT])
        self.for_good = for_good
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """What to send; `id` is the same at every try, in the form of a Message-ID."""

    id: str
    to: str
    subject: str
    body: str


class Transport(Protocol):
    """A way out for the messages of one channel."""

    async def send(self, message: Message) -> None:
        """Hand the message over. Errors: NotSent."""


class Mailbox:
    """Keeps messages where they are: the delivery itself is what the mailbox shows."""

    async def send(self, message: Message) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """E-mail by a mail server."""

    server: MailServer
    sender: str

    async def send(self, message: Message) -> None:
        """Hand the message over. Errors: NotSent, for good when the server refuses recipient or text."""
        try:
            await aiosmtplib.send(
                _mail(message, self.sender),
                sender=parseaddr(self.sender)[1],
                recipients=[message.to],
                timeout=SEND_TIMEOUT_S,
                **self.server.options,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            code = min(one.code for one in refused.recipients)
            raise NotSent(str(refused), for_good=code >= 500, code=code) from refused
        except aiosmtplib.SMTPDataError as refused:
            raise NotSent(str(refused), for_good=refused.code >= 500, code=refused.code) from refused
        except (aiosmtplib.SMTPException, OSError) as failure:
            raise NotSent(str(failure) or type(failure).__name__) from failure
        except ValueError as wrong:
            raise NotSent(f"it can't be put into a mail: {wrong}", for_good=True) from wrong


@dataclass(frozen=True, slots=True)
class SmsGateway:
    """SMS by HTTP: POST of `{"id", "to", "text"}`, with the id as `Idempotency-Key` too."""

    session: aiohttp.ClientSession
    url: str

    async def send(self, message: Message) -> None:
        """Hand the message over. Errors: NotSent, for good when the gateway finds the message wrong."""
        name = message.id.strip("<>")
        said = {"id": name, "to": message.to, "text": message.body}
        try:
            async with self.session.post(self.url, json=said, headers={"Idempotency-Key": name}) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError) as failure:
            raise NotSent(str(failure) or type(failure).__name__) from failure
        if not 200 <= status < 300:
            for_good = 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY
            raise NotSent(f"the gateway answered {status}", for_good=for_good, code=status)


@asynccontextmanager
async def open_transports(settings: NotificationSettings) -> AsyncIterator[Mapping[Channel, Transport]]:
    """The way out of each channel, as the settings say. Errors: SettingsError."""
    timeout = aiohttp.ClientTimeout(total=SEND_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield {
            Channel.EMAIL: Smtp(mail_server_of(settings.smtp_url), settings.sender) if settings.smtp_url else Mailbox(),
            Channel.SMS: SmsGateway(session, settings.sms_url) if settings.sms_url else Mailbox(),
        }


def _mail(message: Message, sender: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Message-ID"] = message.id
    mail["Date"] = formatdate()
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    return mail
