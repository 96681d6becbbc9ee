"""Sessions as their owner sees them, and those whose tokens are refused from now on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from tradepost.kernel.database import Database, Row
from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.paging import Condition, read_page

_COLUMNS: Final = "id::text, created_at, last_used_at, expires_at, address, user_agent"

# Longer than an access token lives: after that nobody needs to be told.
_REVOKED: Final = """
SELECT id::text FROM session WHERE revoked_at > now() - interval '15 minutes'
UNION ALL SELECT id::text FROM api_key WHERE revoked_at > now() - interval '15 minutes'
"""
_ENDED: Final = 'SELECT session_id FROM "user".ended_sessions() AS session_id'


class Reader(Protocol):
    """A connection, or a pool of them, to user's database as the reader of logs."""

    async def fetch(self, query: str, /) -> Sequence[Mapping[str, Any]]: ...


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody is logged in; `current` is the session that asks."""

    id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    current: bool


async def list_sessions(db: Database, caller: Caller, query: ListQuery, now: datetime) -> ListOf[SessionView]:
    """The caller's open sessions, newest first."""

    def view(row: Row) -> SessionView:
        return SessionView(**row, current=row["id"] == caller.session_id)

    conditions: list[Condition] = ["revoked_at IS NULL", ("user_id = {}", caller.user_id), ("expires_at > {}", now)]
    return await read_page(db, "session", _COLUMNS, conditions, query, view)


async def revoked_sessions(db: Database) -> set[str]:
    """The session ids, as in the tokens' `sid`, that ended in the last 15 minutes: whoever verifies tokens refuses
    theirs."""
    return {row["id"] for row in await db.fetch(_REVOKED)}


async def ended_sessions(reader: Reader) -> set[str]:
    """The same, for a process that is nothing but a reader of user's log."""
    return {row["session_id"] for row in await reader.fetch(_ENDED)}
