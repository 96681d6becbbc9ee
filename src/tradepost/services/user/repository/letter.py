"""One-time links, and the letters that carry them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tradepost.kernel.database import Database, Row, Tx
from tradepost.services.user.domain.letter import Kind, Letter, Notice

SEND: Final = "user.letters"  # the job that a new letter wakes

_ADD_LINK: Final = """
INSERT INTO link (id, kind, user_id, email, created_at, expires_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) FROM link WHERE user_id = $3 AND kind = $2 AND created_at > $7) < $8
RETURNING true
"""
_ADD_LETTER: Final = """
INSERT INTO letter (id, template, user_id, recipient, link_id, due_at, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
"""
_LINK: Final = "SELECT user_id::text, email FROM link WHERE id = $1 AND kind = $2"
_USE: Final = """
UPDATE link SET used_at = $3 WHERE id = $1 AND kind = $2 AND used_at IS NULL AND expires_at > $3
RETURNING user_id::text, email
"""
_VOID: Final = "UPDATE link SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL AND kind = ANY ($3::text[])"
_DELETE_LETTERS: Final = "DELETE FROM letter WHERE user_id = $1"
_DELETE_LINKS: Final = "DELETE FROM link WHERE user_id = $1"
_CLAIM: Final = """
UPDATE letter SET attempts = attempts + 1, due_at = $2
WHERE id IN (SELECT id FROM letter WHERE status = 'waiting' AND due_at <= $1
             ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id::text, template, recipient, link_id::text, attempts, expires_at
"""
_RECORD: Final = """
UPDATE letter SET status = result.status, error = result.error, due_at = coalesce(result.due_at, letter.due_at),
                  sent_at = CASE WHEN result.status = 'sent' THEN $6::timestamptz END
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::timestamptz[])
     AS result (id, attempts, status, error, due_at)
WHERE letter.id = result.id AND letter.attempts = result.attempts AND letter.status = 'waiting'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt to send a letter; `due_at` of the next one while the status is `waiting`."""

    letter: Letter
    status: str
    error: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A link to send; none is made when there are `limit` of its kind since `since`."""

    id: str
    kind: Kind
    user_id: str
    email: str
    expires_at: datetime
    since: datetime
    limit: int


def letter_of(row: Row) -> Letter:
    """A letter from a row."""
    return Letter(
        id=row["id"],
        template=row["template"],
        recipient=row["recipient"],
        link_id=row["link_id"],
        attempts=row["attempts"],
        expires_at=row["expires_at"],
    )


async def add_link(tx: Tx, letter_id: str, link: NewLink, now: datetime) -> bool:
    """A link and the letter that carries it; false when there are enough of them."""
    added = await tx.fetchval(
        _ADD_LINK, link.id, link.kind, link.user_id, link.email, now, link.expires_at, link.since, link.limit
    )
    if added is None:
        return False
    await tx.execute(_ADD_LETTER, letter_id, link.kind, link.user_id, link.email, link.id, now, link.expires_at)
    tx.wake(SEND)
    return True


async def add_notice(
    tx: Tx, letter_id: str, notice: Notice, user_id: str, recipient: str, now: datetime, expires_at: datetime
) -> None:
    """A letter without a link."""
    await tx.execute(_ADD_LETTER, letter_id, notice, user_id, recipient, None, now, expires_at)
    tx.wake(SEND)


async def read_link(db: Database, link_id: str, kind: Kind) -> tuple[str, str] | None:
    """Whose link it is, used or not, and the address that it was sent to."""
    row = await db.fetchrow(_LINK, link_id, kind)
    return (row["user_id"], row["email"]) if row else None


async def use_link(tx: Tx, link_id: str, kind: Kind, now: datetime) -> tuple[str, str] | None:
    """Whose link it is and the address that it was sent to; None unless it is good, which it is once."""
    row = await tx.fetchrow(_USE, link_id, kind, now)
    return (row["user_id"], row["email"]) if row else None


async def void_links(tx: Tx, user_id: str, now: datetime, kinds: Sequence[Kind]) -> None:
    """No open link of these kinds is good any more."""
    await tx.execute(_VOID, user_id, now, kinds)


async def delete_all(tx: Tx, user_id: str) -> None:
    """Every letter and link of the account."""
    await tx.execute(_DELETE_LETTERS, user_id)
    await tx.execute(_DELETE_LINKS, user_id)


async def claim(tx: Tx, now: datetime, until: datetime, limit: int) -> list[Letter]:
    """Letters that are due, which nobody else sends before `until`."""
    return [letter_of(row) for row in await tx.fetch(_CLAIM, now, until, limit)]


async def record(tx: Tx, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What became of the attempts, unless somebody else has claimed the letter since."""
    await tx.execute(
        _RECORD,
        [outcome.letter.id for outcome in outcomes],
        [outcome.letter.attempts for outcome in outcomes],
        [outcome.status for outcome in outcomes],
        [outcome.error for outcome in outcomes],
        [outcome.due_at for outcome in outcomes],
        now,
    )
