"""Deleting what has had its time, a bounded number of rows at once."""

from datetime import datetime
from typing import Final

from tradepost.kernel.database import Tx

ROWS: Final = 2_000  # of a kind in one round

# SKIP LOCKED: several processes may do it at once, and nobody waits for it.
_DELETE: Final = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE {condition} LIMIT {rows} FOR UPDATE SKIP LOCKED))
"""
_DONE: Final = (
    # A revoked session is told to those who verify tokens for 15 minutes, and is of no use after that.
    ("session", "expires_at < $1"),
    ("session", "revoked_at < $1::timestamptz - interval '1 day'"),
    ("refresh_token", "expires_at < $1"),
    ("api_key", "revoked_at < $1::timestamptz - interval '30 days'"),
    ("login_failure", "forget_at < $1"),
    ("letter", "expires_at < $1::timestamptz - interval '30 days'"),
    ("link", "expires_at < $1::timestamptz - interval '30 days'"),
)
STATEMENTS: Final = tuple(_DELETE.format(table=table, condition=condition, rows=ROWS) for table, condition in _DONE)


async def delete_some(tx: Tx, now: datetime) -> bool:
    """Whether there is more to delete."""
    deleted = [int((await tx.execute(statement, now)).rpartition(" ")[2]) for statement in STATEMENTS]
    return max(deleted) == ROWS
