"""Timed work: sending letters, and throwing away what has had its time."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog

from tradepost.kernel.clock import now
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import MESSAGES
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.letter import Letter, compose, next_try
from tradepost.services.user.providers import Smtp, Undeliverable
from tradepost.services.user.repository import letter as letters
from tradepost.services.user.repository import purge
from tradepost.services.user.repository.letter import SEND, Outcome

LETTERS: Final = 10  # sent at once
LEASE: Final = timedelta(minutes=2)  # longer than any attempt takes
ERROR_LIMIT: Final = 500  # characters

logger = structlog.get_logger()


async def send_letters(desk: Desk) -> bool:
    """Hand the letters that are due to the mail server. A letter can go out twice, under one Message-ID, when we die
    in between; it is never lost."""
    if desk.smtp is None:
        return False
    moment = now()
    async with desk.db.transaction() as tx:
        claimed = await letters.claim(tx, moment, moment + LEASE, LETTERS)
    if claimed:
        outcomes = await asyncio.gather(*(_send(letter, desk, desk.smtp) for letter in claimed))
        async with desk.db.transaction() as tx:
            await letters.record(tx, outcomes, now())
        for outcome in outcomes:
            MESSAGES.labels("user", "email", "pending" if outcome.status == "waiting" else outcome.status).inc()
    return len(claimed) == LETTERS


async def purge_all(desk: Desk) -> bool:
    """Delete some of what nobody needs any more; true while there is more of it."""
    async with desk.db.transaction() as tx:
        return await purge.delete_some(tx, now())


async def _send(letter: Letter, desk: Desk, smtp: Smtp) -> Outcome:
    """One attempt. Neither the text nor the address gets into a log or a message."""
    if now() >= letter.expires_at:
        return Outcome(letter=letter, status="expired")
    subject, text = compose(letter, desk.settings.public_url, desk.key)
    try:
        await smtp.send(message_id=letter.id, recipient=letter.recipient, subject=subject, text=text)
    except Undeliverable as error:
        logger.warning("letter_refused", letter=letter.id, attempts=letter.attempts, code=error.code)
        return Outcome(letter=letter, status="failed", error=str(error)[:ERROR_LIMIT])
    except Exception as error:  # whatever it is, what became of the other letters must be recorded
        return _later(letter, error, now())
    return Outcome(letter=letter, status="sent")


def _later(letter: Letter, error: Exception, moment: datetime) -> Outcome:
    due_at = next_try(letter.attempts, moment)
    logger.warning("letter_not_sent", letter=letter.id, attempts=letter.attempts, why=type(error).__name__)
    return Outcome(
        letter=letter, status="waiting" if due_at else "failed", error=str(error)[:ERROR_LIMIT], due_at=due_at
    )


jobs = (
    Job(SEND, send_letters, every_s=5.0),
    Job("user.purge", purge_all, every_s=60.0),
)
