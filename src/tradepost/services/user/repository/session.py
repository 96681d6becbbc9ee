"""Sessions, their refresh tokens, and the failures of those who got none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.http.network import network_of
from tradepost.services.user.domain.password import DELAYS, DELAYS_EVERYWHERE, FORGET_FAILURES
from tradepost.services.user.domain.session import SESSIONS_LIMIT, expiry

ANYWHERE: Final = ""  # the place of failures wherever they come from
USER_AGENT_LIMIT: Final = 255  # characters kept

# FOR SHARE waits for who closes the account or changes the password just now, and then finds nothing to log in to.
_ADD: Final = """
INSERT INTO session (id, user_id, created_at, last_used_at, expires_at, address, user_agent)
SELECT $1, id, $3, $3, $4, $5, $6 FROM account
WHERE id = $2 AND status = 'active' AND password_hash = $7 FOR SHARE
RETURNING true
"""
_END_OLDEST: Final = """
UPDATE session SET revoked_at = $2
WHERE id IN (SELECT id FROM session WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id DESC OFFSET $3)
"""
_ADD_REFRESH: Final = "INSERT INTO refresh_token (hash, session_id, salt, expires_at) VALUES ($1, $2, $3, $4)"
_LOCK_REFRESH: Final = """
SELECT token.salt, token.used_at, token.expires_at, session.id::text AS session_id, session.user_id::text,
       session.created_at, session.revoked_at
FROM refresh_token AS token JOIN session ON session.id = token.session_id
WHERE token.hash = $1 FOR UPDATE OF token
"""
_USE_REFRESH: Final = "UPDATE refresh_token SET used_at = $2 WHERE hash = $1"
_TOUCH: Final = """
UPDATE session SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND revoked_at IS NULL RETURNING true
"""
_REVOKE: Final = """
UPDATE session SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING true
"""
_REVOKE_ALL: Final = """
UPDATE session SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $3::uuid
"""
_FORGET: Final = "UPDATE session SET address = '', user_agent = '' WHERE user_id = $1"
_FAILED: Final = """
INSERT INTO login_failure AS failed (email, place, failures, ready_at, forget_at)
VALUES ($1, $5, 1, $2::timestamptz + ($4::interval[])[1], $2::timestamptz + $3::interval)
ON CONFLICT (email, place) DO UPDATE SET
    failures = failed.failures + 1, forget_at = excluded.forget_at,
    ready_at = $2::timestamptz + ($4::interval[])[least(failed.failures + 1, cardinality($4::interval[]))]
"""
_READY_AT: Final = "SELECT place, ready_at FROM login_failure WHERE email = $1 AND place IN ($2, '')"
_ADDRESSES: Final = """
SELECT session.address FROM session JOIN account ON account.id = session.user_id
WHERE lower(account.email) = $1 AND session.revoked_at IS NULL ORDER BY session.id DESC LIMIT $2
"""
# Whoever writes two of these begins with the common one.
_CLEAR_COMMON: Final = "DELETE FROM login_failure WHERE email = $1 AND place = ''"
_CLEAR_PLACE: Final = "DELETE FROM login_failure WHERE email = $1 AND place = $2"
_CLEAR_ALL: Final = "DELETE FROM login_failure WHERE email = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a session was begun: the client's address and what it calls itself."""

    address: str
    user_agent: str


async def add(
    tx: Tx, *, session_id: str, user_id: str, password_hash: str, origin: Origin, now: datetime
) -> datetime | None:
    """A new session; when it ends if it isn't used. None when the account was closed or got another password since
    `password_hash` was read. The account's oldest session ends when there are too many."""
    expires_at = expiry(now, now)
    agent = origin.user_agent[:USER_AGENT_LIMIT]
    added = await tx.fetchval(_ADD, session_id, user_id, now, expires_at, origin.address, agent, password_hash)
    if added is None:
        return None
    await tx.execute(_END_OLDEST, user_id, now, SESSIONS_LIMIT)
    return expires_at


async def add_token(tx: Tx, hash_: bytes, session_id: str, salt: bytes, expires_at: datetime) -> None:
    """A refresh token of a session."""
    await tx.execute(_ADD_REFRESH, hash_, session_id, salt, expires_at)


async def lock_token(tx: Tx, hash_: bytes) -> Row | None:
    """The token and its session; of those who come with the same token, one at a time."""
    return await tx.fetchrow(_LOCK_REFRESH, hash_)


async def use_token(tx: Tx, hash_: bytes, now: datetime) -> None:
    """From now on it has a successor."""
    await tx.execute(_USE_REFRESH, hash_, now)


async def touch(tx: Tx, session_id: str, now: datetime, expires_at: datetime) -> bool:
    """The session is in use; false when it was revoked meanwhile."""
    return await tx.fetchval(_TOUCH, session_id, now, expires_at) is not None


async def revoke(tx: Tx, session_id: str, user_id: str, now: datetime) -> bool:
    """End one session; false when there is none to end."""
    return await tx.fetchval(_REVOKE, session_id, user_id, now) is not None


async def revoke_all(tx: Tx, user_id: str, now: datetime, *, but: str | None = None) -> None:
    """End the account's sessions, `but` this one."""
    await tx.execute(_REVOKE_ALL, user_id, now, but)


async def forget_origins(tx: Tx, user_id: str) -> None:
    """Nothing is left of where the account's sessions came from."""
    await tx.execute(_FORGET, user_id)


async def ready_at(db: Database, email: str, place: str) -> Mapping[str, datetime]:
    """Before when another try for this address, in lower case, is refused: at this place, and as '' at any."""
    return {row["place"]: row["ready_at"] for row in await db.fetch(_READY_AT, email, place)}


async def is_known(db: Database, email: str, place: str) -> bool:
    """Whether one of the account's open sessions was begun there."""
    rows = await db.fetch(_ADDRESSES, email, SESSIONS_LIMIT)
    return any(network_of(row["address"]) == place for row in rows)


async def record_failure(db: Database, email: str, place: str, now: datetime) -> None:
    """A wrong password for this address, in lower case, from this place."""
    async with db.transaction() as tx:
        for where, delays in ((ANYWHERE, DELAYS_EVERYWHERE), (place, DELAYS)):
            await tx.execute(_FAILED, email, now, FORGET_FAILURES, list(delays), where)


async def clear_failures(tx: Tx, email: str, place: str | None = None) -> None:
    """The owner has shown up, at this place, or in a way that clears them all."""
    await tx.execute(_CLEAR_COMMON, email)
    if place is None:
        await tx.execute(_CLEAR_ALL, email)
    else:
        await tx.execute(_CLEAR_PLACE, email, place)
