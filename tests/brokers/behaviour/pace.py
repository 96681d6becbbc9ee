"""The same waiting, in a hurry: a test need not sit through pauses that are there to spare a server."""

from collections.abc import Callable
from typing import Any, Final

from tradepost.kernel import database
from tradepost.kernel.brokers import receiver
from tradepost.kernel.brokers.kafka import reception
from tradepost.kernel.brokers.rabbitmq import link
from tradepost.kernel.log import consumer, roster, team
from tradepost.kernel.session import SESSION

BEAT_S: Final = 0.1
STANDBY_S: Final = 0.05
BACK_OFF_S: Final = (0.05, 0.1, 0.2)
STALE_S: Final = 10.0
LOCKS_FREE: Final = {
    "idle_in_transaction_session_timeout": "2s",
    "statement_timeout": "10s",
    "transaction_timeout": "5s",
}
HEARTBEAT_S: Final = 1


def hurry(replace: Callable[[Any, str, Any], None]) -> None:
    """Shorten the pauses by `replace`, which is setattr or one that is taken back later."""
    replace(team, "BEAT_S", BEAT_S)
    replace(roster, "STALE_S", STALE_S)
    replace(reception, "CLAIM_S", BEAT_S)
    replace(receiver, "LOOK_S", BEAT_S)
    for module in (consumer, receiver):
        replace(module, "STANDBY_S", STANDBY_S)
        replace(module, "BACK_OFF_S", BACK_OFF_S)


def lose_patience(replace: Callable[[Any, str, Any], None]) -> None:
    """Have the servers give up whoever is silent: PostgreSQL his transaction, RabbitMQ his connection, and each waits
    several times as long otherwise."""
    replace(link, "HEARTBEAT_S", HEARTBEAT_S)
    replace(database, "SESSION", {**SESSION, **LOCKS_FREE})
