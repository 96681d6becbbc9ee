"""The audit: wait until all is done, then run every check on one snapshot of the databases."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tradepost.console.audit import drained, log, messages, money, orders, outcomes, parcels, provider, stock
from tradepost.console.audit.check import Check, Finding, run
from tradepost.console.audit.journal import Answered, compare, read
from tradepost.console.audit.scratch import gathered
from tradepost.console.audit.table import show
from tradepost.console.cut import Store, cut, open_stores, snapshots
from tradepost.console.databases import LOG_IS_CUT

POLL_S: Final = 0.25
TIMEOUT_S: Final = 600.0  # for one statement
VIOLATED: Final = 1

CHECKS: Final[tuple[Check, ...]] = tuple(
    chain.from_iterable(
        subject.CHECKS for subject in (log, stock, orders, outcomes, money, provider, parcels, messages)
    )
)

# A whole-table question is answered by hashing, whatever the planner guesses of tables that were filled just now.
_SESSION: Final = {
    "application_name": "tradepost audit",
    "jit": "off",
    "enable_nestloop": "off",
    "work_mem": "64MB",
    "search_path": "pg_catalog",
}

# From when on every log is whole: the oldest events are gone where the first partition is.
_CUT: Final = f"""
SELECT (SELECT at FROM "{{schema}}".event ORDER BY id LIMIT 1) AS since WHERE {LOG_IS_CUT}
"""
_SINCE: Final = f"""
SELECT set_config('audit.since', COALESCE(max(since), '-infinity')::text, true) FROM ({log.of_all(_CUT)}) AS cut
"""
_ORDERS: Final = 'SELECT count(*) FROM "order".orders'


async def audit(urls: Mapping[str, str], *, journal: Path | None, wait_s: float, echo: Callable[[str], None]) -> int:
    """Wait up to `wait_s` until all is done, check everything in the services' databases at `urls`, whose roles may
    read all of them, and print what was found line by line. The exit code: 1 when anything is violated.
    Errors: Trouble, DatabaseError, PostgresError, OSError."""
    answered = None if journal is None else read(journal)
    async with open_stores(urls, _SESSION, command_timeout=TIMEOUT_S) as stores:
        findings, count = await _when_drained(stores, answered, monotonic() + wait_s)
    show(findings, count, echo)
    return VIOLATED if _any(findings) else 0


async def examine(connection: Any, answered: Sequence[Answered] | None = None) -> list[Finding]:
    """Every check but that all is drained, in the transaction that `connection` is in: all schemas are there."""
    await connection.execute(_SINCE)
    found = [await run(connection, check) for check in CHECKS]
    return found if answered is None else found + await compare(connection, list(answered))


async def _when_drained(
    stores: Sequence[Store], answered: Sequence[Answered] | None, deadline: float
) -> tuple[list[Finding], int]:
    """Findings and the number of orders. The cut in which all was drained is the one that is examined, so that what
    happens meanwhile does not disturb."""
    connections = {service: store.reader for store in stores for service in store.services}
    while True:
        if len(stores) == 1 or monotonic() >= deadline or await _is_worth_a_cut(stores, connections):
            async with cut(stores):
                waiting = await drained.undone(connections)
                if not _any(waiting) or monotonic() >= deadline:
                    found, count = await _examined(stores, answered)
                    return waiting + found, count
        await asyncio.sleep(POLL_S)


async def _is_worth_a_cut(stores: Sequence[Store], connections: Mapping[str, Any]) -> bool:
    """Whether all seems to be done. A cut holds up those who write, so this looks without one first."""
    async with snapshots(stores):
        return not _any(await drained.undone(connections))


async def _examined(stores: Sequence[Store], answered: Sequence[Answered] | None) -> tuple[list[Finding], int]:
    """In the cut that the stores' readers are in: on the spot where all schemas lie together, else in a copy."""
    if len(stores) == 1:
        return await _both(stores[0].reader, answered)
    async with gathered(stores, _SESSION, command_timeout=TIMEOUT_S) as connection, connection.transaction():
        return await _both(connection, answered)


async def _both(connection: Any, answered: Sequence[Answered] | None) -> tuple[list[Finding], int]:
    return await examine(connection, answered), await connection.fetchval(_ORDERS)


def _any(findings: Sequence[Finding]) -> bool:
    return any(finding.violations for finding in findings)
