"""The caller's address book."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, structs

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http.body import Address, Body, CountryCode, ListOf, ListQuery, ShortText
from tradepost.kernel.http.endpoint import Request, customer, delete, get, patch, post
from tradepost.kernel.ids import new_id
from tradepost.services.user.commands import address as commands
from tradepost.services.user.commands.address import NoSuchAddress
from tradepost.services.user.desk import Desk
from tradepost.services.user.queries.address import SavedAddress, list_addresses, read_address

LongText = Annotated[str, Meta(max_length=200)]
PostalCode = Annotated[str, Meta(min_length=1, max_length=20)]
Phone = Annotated[str, Meta(max_length=40)]


class NewAddress(Address, frozen=True, kw_only=True):
    """An address for the book."""

    is_default: bool = False

    @property
    def postal(self) -> Address:
        """The address alone."""
        return Address(**{field: getattr(self, field) for field in Address.__struct_fields__})


class ChangedAddress(Body, frozen=True, kw_only=True):
    """The fields to change."""

    name: ShortText | UnsetType = UNSET
    line1: ShortText | UnsetType = UNSET
    line2: LongText | UnsetType | None = UNSET
    city: ShortText | UnsetType = UNSET
    region: LongText | UnsetType | None = UNSET
    postal_code: PostalCode | UnsetType = UNSET
    country: CountryCode | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET
    is_default: bool | UnsetType = UNSET


async def list_mine(request: Request[None, ListQuery], desk: Desk) -> ListOf[SavedAddress]:
    """The caller's addresses, newest first."""
    return await list_addresses(desk.db, request.caller.user_id, request.query)


async def add(request: Request[NewAddress, None], desk: Desk, tx: Tx) -> SavedAddress:
    """Add an address; the first one is the default."""
    address_id, user_id = new_id(), request.caller.user_id
    await commands.add(tx, address_id, user_id, request.body.postal, request.body.is_default)
    return await _read(tx, address_id, user_id)


async def read(request: Request[None, None], desk: Desk) -> SavedAddress:
    """One of the caller's addresses."""
    return await _read(desk.db, request.path["address_id"], request.caller.user_id)


async def edit(request: Request[ChangedAddress, None], desk: Desk, tx: Tx) -> SavedAddress:
    """Change an address, or make it the default one."""
    address_id, user_id = request.path["address_id"], request.caller.user_id
    changes = {field: value for field, value in structs.asdict(request.body).items() if value is not UNSET}
    await commands.edit(tx, address_id, user_id, changes)
    return await _read(tx, address_id, user_id)


async def remove(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """Delete an address; the newest of the others becomes the default if it was."""
    await commands.remove(tx, request.path["address_id"], request.caller.user_id)


async def _read(db: Database | Tx, address_id: str, user_id: str) -> SavedAddress:
    address = await read_address(db, address_id, user_id)
    if address is None:
        raise NoSuchAddress("There is no address of this id in your book.")
    return address


endpoints = (
    get("/user/me/addresses", list_mine, access=customer),
    post("/user/me/addresses", add, access=customer, status=201),
    get("/user/me/addresses/{address_id}", read, access=customer),
    patch("/user/me/addresses/{address_id}", edit, access=customer),
    delete("/user/me/addresses/{address_id}", remove, access=customer),
)
