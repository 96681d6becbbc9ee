"""The address book."""

from typing import Any, Final

import msgspec

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Conflict, FieldError, Invalid, NotFound
from tradepost.kernel.http.body import Address
from tradepost.services.user.repository import account as accounts
from tradepost.services.user.repository import address as addresses

ADDRESSES_LIMIT: Final = 50  # of one account


class TooManyAddresses(Conflict):
    """The address book is full."""

    code = "too_many_addresses"


class NoSuchAddress(NotFound):
    """None of this id in the caller's book."""

    code = "address_not_found"


async def add(tx: Tx, address_id: str, user_id: str, postal: Address, is_default: bool) -> bool:
    """A new address, the default one if asked or if it is the first; whether it is. Errors: TooManyAddresses,
    NoSuchUser."""
    await accounts.lock_active(tx, user_id)
    known = await addresses.count(tx, user_id)
    if known >= ADDRESSES_LIMIT:
        raise TooManyAddresses(f"An address book holds {ADDRESSES_LIMIT} addresses; delete one first.")
    is_default = is_default or known == 0
    await addresses.add(tx, address_id, user_id, postal, is_default)
    return is_default


async def edit(tx: Tx, address_id: str, user_id: str, changes: dict[str, Any]) -> None:
    """Change the fields named. The default address stays one until another takes its place. Errors: NoSuchAddress,
    NoSuchUser, Invalid."""
    await accounts.lock_active(tx, user_id)
    row = await addresses.read(tx, address_id, user_id)
    if row is None:
        raise NoSuchAddress("There is no address of this id in your book.")
    is_default = changes.pop("is_default", row["is_default"])
    if row["is_default"] and not is_default:
        refused = FieldError("/is_default", "Make another address the default one instead.")
        raise Invalid("One address is always the default one.", errors=[refused])
    postal = msgspec.structs.replace(addresses.postal_of(row), **changes)
    await addresses.save(tx, address_id, user_id, postal, is_default)


async def remove(tx: Tx, address_id: str, user_id: str) -> None:
    """Delete it. Errors: NoSuchAddress, NoSuchUser."""
    await accounts.lock_active(tx, user_id)
    if not await addresses.delete(tx, address_id, user_id):
        raise NoSuchAddress("There is no address of this id in your book.")
