"""The address book. Who calls has locked the account, so that it has one default address at every moment."""

from typing import Any, Final

import msgspec

from tradepost.kernel.database import Row, Tx
from tradepost.kernel.http.body import Address

COLUMNS: Final = "id::text, postal, is_default, created_at"

_COUNT: Final = "SELECT count(*) FROM address WHERE user_id = $1"
_READ: Final = f"SELECT {COLUMNS} FROM address WHERE id = $1 AND user_id = $2"
_ADD: Final = """
INSERT INTO address (id, user_id, postal, is_default, created_at) VALUES ($1, $2, $3, $4, now())
"""
_SAVE: Final = "UPDATE address SET postal = $3, is_default = $4 WHERE id = $1 AND user_id = $2"
_NO_DEFAULT: Final = "UPDATE address SET is_default = false WHERE user_id = $1 AND is_default AND id <> $2"
_DELETE: Final = "DELETE FROM address WHERE id = $1 AND user_id = $2 RETURNING is_default"
_PROMOTE: Final = """
UPDATE address SET is_default = true
WHERE id = (SELECT id FROM address WHERE user_id = $1 ORDER BY id DESC LIMIT 1)
"""
_DELETE_ALL: Final = "DELETE FROM address WHERE user_id = $1"


def postal_of(row: Row) -> Address:
    """The postal address in a row with `COLUMNS`."""
    return msgspec.json.decode(row["postal"], type=Address)


async def count(tx: Tx, user_id: str) -> int:
    """How many addresses the account has."""
    found: Any = await tx.fetchval(_COUNT, user_id)
    return int(found)


async def read(tx: Tx, address_id: str, user_id: str) -> Row | None:
    """The row with `COLUMNS`, or None."""
    return await tx.fetchrow(_READ, address_id, user_id)


async def add(tx: Tx, address_id: str, user_id: str, postal: Address, is_default: bool) -> None:
    """A new address; a default one takes the place of the one so far."""
    if is_default:
        await tx.execute(_NO_DEFAULT, user_id, address_id)
    await tx.execute(_ADD, address_id, user_id, msgspec.json.encode(postal).decode(), is_default)


async def save(tx: Tx, address_id: str, user_id: str, postal: Address, is_default: bool) -> None:
    """The address as it is now."""
    if is_default:
        await tx.execute(_NO_DEFAULT, user_id, address_id)
    await tx.execute(_SAVE, address_id, user_id, msgspec.json.encode(postal).decode(), is_default)


async def delete(tx: Tx, address_id: str, user_id: str) -> bool:
    """Remove it; the newest of the others takes the place of a default one. False when there is none."""
    was_default = await tx.fetchval(_DELETE, address_id, user_id)
    if was_default:
        await tx.execute(_PROMOTE, user_id)
    return was_default is not None


async def delete_all(tx: Tx, user_id: str) -> None:
    """Empty the book."""
    await tx.execute(_DELETE_ALL, user_id)
