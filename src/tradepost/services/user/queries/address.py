"""The address book as its owner sees it."""

from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.paging import read_page
from tradepost.services.user.repository.address import COLUMNS, postal_of

_ONE: Final = f"SELECT {COLUMNS} FROM address WHERE id = $1 AND user_id = $2"


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address of the book."""

    id: str
    name: str
    line1: str
    line2: str | None
    city: str
    region: str | None
    postal_code: str
    country: str
    phone: str | None
    is_default: bool
    created_at: datetime


async def list_addresses(db: Database, user_id: str, query: ListQuery) -> ListOf[SavedAddress]:
    """Newest first."""
    return await read_page(db, "address", COLUMNS, [("user_id = {}", user_id)], query, _saved)


async def read_address(db: Database | Tx, address_id: str, user_id: str) -> SavedAddress | None:
    """One address, or None when it isn't in the user's book."""
    row = await db.fetchrow(_ONE, address_id, user_id)
    return _saved(row) if row is not None else None


def _saved(row: Row) -> SavedAddress:
    postal = msgspec.structs.asdict(postal_of(row))
    return SavedAddress(**postal, id=row["id"], is_default=row["is_default"], created_at=row["created_at"])
