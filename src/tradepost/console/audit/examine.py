"""The audit: wait until all is done, then run every check on one snapshot of the databases."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, Final

import asyncpg

from tradepost.console.audit import drained, log, messages, money, orders, outcomes, parcels, provider, stock
from tradepost.console.audit.check import Check, Finding, run
from tradepost.console.audit.journal import Answered, compare, read
from tradepost.console.audit.table import show

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
_CUT: Final = """
SELECT (SELECT at FROM "{schema}".event ORDER BY id LIMIT 1) AS since
WHERE (SELECT min(low) FROM log.partitions('{schema}')) > 0
"""
_SINCE: Final = f"""
SELECT set_config('audit.since', COALESCE(max(since), '-infinity')::text, true) FROM ({log.of_all(_CUT)}) AS cut
"""
_ORDERS: Final = 'SELECT count(*) FROM "order".orders'


async def audit(url: str, *, journal: Path | None, wait_s: float, echo: Callable[[str], None]) -> int:
    """Wait up to `wait_s` until all is done, check everything in the database at `url`, whose role may read all of it,
    and print what was found line by line. The exit code: 1 when anything is violated. Errors: JournalError, OSError."""
    answered = None if journal is None else read(journal)
    connection = await asyncpg.connect(url, server_settings=_SESSION, command_timeout=TIMEOUT_S)
    try:
        findings, count = await _when_drained(connection, answered, monotonic() + wait_s)
    finally:
        await connection.close()
    show(findings, count, echo)
    return VIOLATED if any(finding.violations for finding in findings) else 0


async def examine(connection: Any, answered: Sequence[Answered] | None = None) -> list[Finding]:
    """Every check but that all is drained, in the transaction that `connection` is in."""
    await connection.execute(_SINCE)
    found = [await run(connection, check) for check in CHECKS]
    return found if answered is None else found + await compare(connection, list(answered))


async def undone(connection: Any) -> list[Finding]:
    """What is under way, in the transaction that `connection` is in."""
    return [await run(connection, check) for check in drained.CHECKS]


async def _when_drained(
    connection: Any, answered: Sequence[Answered] | None, deadline: float
) -> tuple[list[Finding], int]:
    """Findings and the number of orders. The snapshot in which all was drained is the one that is examined, so that
    what happens meanwhile does not disturb."""
    while True:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            waiting = await undone(connection)
            if not any(finding.violations for finding in waiting) or monotonic() >= deadline:
                return waiting + await examine(connection, answered), await connection.fetchval(_ORDERS)
        await asyncio.sleep(POLL_S)
