"""The sender: hands over what is pending, with no transaction open meanwhile."""

import asyncio
from typing import Final

import structlog

from tradepost.kernel.log.rest import UNHURRIED_S
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import MESSAGES
from tradepost.services.notification.commands import SENDER_JOB
from tradepost.services.notification.desk import Desk
from tradepost.services.notification.domain import Outcome, Status, decide, message_id
from tradepost.services.notification.providers import SEND_TIMEOUT_S, Message, NotSent
from tradepost.services.notification.repository import outbox
from tradepost.services.notification.repository.outbox import Claimed

MESSAGES_A_ROUND: Final = 50
AT_ONCE: Final = 10
LIMIT_S: Final = 1.5 * SEND_TIMEOUT_S  # for one message; longer only if a time-out was missed
LEASE_S: Final = 2 * LIMIT_S * MESSAGES_A_ROUND / AT_ONCE
EVERY_S: Final = 5.0

logger = structlog.get_logger()


async def send(desk: Desk) -> bool:
    """One round: claim, send, record."""
    async with desk.db.transaction() as tx:
        claimed = await outbox.claim(tx, MESSAGES_A_ROUND, LEASE_S)
    if not claimed:
        return False
    gate = asyncio.Semaphore(AT_ONCE)
    outcomes = await asyncio.gather(*(_send(desk, one, gate) for one in claimed))
    tried = list(zip(claimed, outcomes, strict=True))
    async with desk.db.transaction() as tx:
        await outbox.settle(tx, tried)
    for one, outcome in tried:
        MESSAGES.labels("notification", one.channel, outcome.status).inc()
    return len(claimed) == MESSAGES_A_ROUND


async def _send(desk: Desk, one: Claimed, gate: asyncio.Semaphore) -> Outcome:
    message = Message(message_id(one.id, one.version, desk.domain), one.address, one.subject, one.body)
    async with gate:
        try:
            async with asyncio.timeout(LIMIT_S):
                await desk.transports[one.channel].send(message)
        except NotSent as failure:
            outcome = decide(one.attempts, str(failure), for_good=failure.for_good)
            return _logged(one, outcome, failure.code)
        except Exception as failure:  # whatever it is, it must not keep the others' outcomes from being recorded
            return _logged(one, decide(one.attempts, f"{type(failure).__name__}: {failure}", for_good=False), None)
    return decide(one.attempts, None, for_good=False)


def _logged(one: Claimed, outcome: Outcome, code: int | None) -> Outcome:
    """A line about a message that is given up. The reason stands beside the message: it may have the address in it."""
    if outcome.status is Status.FAILED:
        logger.warning("message_given_up", delivery=one.id, channel=one.channel, attempts=one.attempts, code=code)
    return outcome


jobs = (Job(SENDER_JOB, send, EVERY_S, UNHURRIED_S),)
