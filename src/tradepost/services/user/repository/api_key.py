"""API keys: kept as hashes, found by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tradepost.kernel.database import Database, Tx

_ADD: Final = """
INSERT INTO api_key (id, name, hash, hint, permissions, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_REVOKE: Final = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING true"
_FIND: Final = "SELECT id::text, permissions FROM api_key WHERE hash = $1 AND revoked_at IS NULL"
_USED: Final = """
UPDATE api_key SET last_used_at = $2
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret; `hint` is how it begins."""

    id: str
    name: str
    hint: str
    permissions: Sequence[str]
    created_by: str
    created_at: datetime


async def add(tx: Tx, key: ApiKey, hash_: bytes) -> None:
    """A new key."""
    await tx.execute(_ADD, key.id, key.name, hash_, key.hint, key.permissions, key.created_by, key.created_at)


async def revoke(tx: Tx, key_id: str, now: datetime) -> bool:
    """False when there is none to revoke."""
    return await tx.fetchval(_REVOKE, key_id, now) is not None


async def find(db: Database, hash_: bytes, now: datetime) -> tuple[str, Sequence[str]] | None:
    """Id and permissions of a key that is good; it is noted that it was used, to the minute."""
    row = await db.fetchrow(_FIND, hash_)
    if row is None:
        return None
    await db.fetch(_USED, row["id"], now)
    return row["id"], row["permissions"]
