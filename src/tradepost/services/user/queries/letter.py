"""The letters, for the operator and for the mailbox page."""

from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row
from tradepost.kernel.http.body import Cursor, ListOf, ListQuery
from tradepost.kernel.paging import read_page
from tradepost.services.user.domain.letter import compose
from tradepost.services.user.repository.letter import letter_of

_COLUMNS: Final = (
    "id::text, template, recipient, link_id::text, status, attempts, error, created_at, expires_at, sent_at"
)


class LettersQuery(ListQuery, frozen=True, kw_only=True):
    """Filters of the list."""

    to: Cursor | None = None


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """`text`, which holds the secret link, only where there is no mail server: then this is the mailbox."""

    id: str
    to: str
    template: str
    subject: str
    text: str | None
    status: str
    attempts: int
    error: str | None
    created_at: datetime
    sent_at: datetime | None


async def list_letters(
    db: Database, query: LettersQuery, *, public_url: str, key: bytes, is_mailbox: bool
) -> ListOf[LetterView]:
    """Newest first; `public_url` and `key` are what links are made of."""

    def view(row: Row) -> LetterView:
        subject, text = compose(letter_of(row), public_url, key)
        return LetterView(
            id=row["id"],
            to=row["recipient"],
            template=row["template"],
            subject=subject,
            text=text if is_mailbox else None,
            status=row["status"],
            attempts=row["attempts"],
            error=row["error"],
            created_at=row["created_at"],
            sent_at=row["sent_at"],
        )

    conditions = [("recipient = {}", query.to)] if query.to is not None else []
    return await read_page(db, "letter", _COLUMNS, conditions, query, view)
