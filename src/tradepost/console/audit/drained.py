"""Whether all is done: every event was read, and nothing waits to be sent or heard."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from tradepost.console.audit.check import SAMPLE, Check, Finding, run
from tradepost.kernel.log.lag import behind
from tradepost.main import SERVICES

EVENTS: Final = "drained.events"
READ: Final = "every group has read all that it subscribes to"

# A payment that waits for its buyer may wait, and so may the second look for one that was given up.
_PAYMENTS: Final = """
SELECT format('order %s: the provider is to be asked to %s', order_id, task) FROM payment.payment
WHERE task IS NOT NULL AND NOT (status = 'requires_action' AND task = 'find') AND status <> 'voided'
UNION ALL
SELECT format('refund %s: the provider is to be asked to %s', key, task) FROM payment.refund WHERE task IS NOT NULL
"""
_NEWS: Final = "SELECT format('%s: %s was not told yet', key, state) FROM payment.simulator_webhook"
_MESSAGES: Final = """
SELECT format('%s by %s, order %s: pending after %s tries', template, channel, order_id, attempts)
FROM notification.delivery WHERE status = 'pending'
"""

# By the service whose schema they look at.
CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "payment": (
        Check("drained.payments", "the provider has been asked everything, and has answered", _PAYMENTS),
        Check("drained.news", "the simulated provider has told all its news", _NEWS),
    ),
    "notification": (Check("drained.messages", "no message waits to be sent", _MESSAGES),),
}
NAMES: Final = (EVENTS, *(check.name for checks in CHECKS.values() for check in checks))


async def undone(connections: Mapping[str, Any]) -> list[Finding]:
    """What is under way. `connections` are by service, and all in transactions of one cut."""
    told = sorted([line async for line in _unread(connections)])
    found = [Finding(EVENTS, READ, len(told), tuple(told[:SAMPLE]))]
    return found + [await run(connections[home], check) for home, checks in CHECKS.items() for check in checks]


async def _unread(connections: Mapping[str, Any]) -> AsyncIterator[str]:
    for service in SERVICES:
        for group in service.groups:
            for source in group.sources():
                place = (source, service.name, group.name, list(group.of(source)))
                lag = await behind(connections[source], connections[service.name], *place, thorough=True)
                if lag.events and lag.stands:
                    yield f"{group.name} has yet to read {lag.events} events of {source}"
                elif lag.events:
                    yield f"{group.name} does not stand anywhere in the log of {source}"
