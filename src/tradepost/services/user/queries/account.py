"""Accounts as their owners and the shop see them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from tradepost.kernel.database import Database, Row
from tradepost.kernel.http.body import Cursor, ListOf, ListQuery
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.paging import Condition, read_page
from tradepost.services.user.domain.account import Account, NoSuchUser, Role
from tradepost.services.user.domain.profile import login_name
from tradepost.services.user.repository.account import COLUMNS, account_of

_OF_OWNER: Final = f"SELECT {COLUMNS} FROM account WHERE id = $1 AND (id = $2 OR $3)"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account without anything secret; `email` is null once it is erased."""

    id: str
    email: str | None
    name: str
    phone: str | None
    roles: Sequence[str]
    permissions: Sequence[str]
    email_verified: bool
    status: str
    created_at: datetime


class UsersQuery(ListQuery, frozen=True, kw_only=True):
    """Filters of the list."""

    email: Cursor | None = None
    role: Role | None = None
    status: Literal["active", "disabled", "erased"] | None = None


def user_of(account: Account) -> User:
    """The account as it is shown."""
    return User(
        id=account.id,
        email=account.email,
        name=account.name,
        phone=account.phone,
        roles=account.roles,
        permissions=account.permissions,
        email_verified=account.email_verified_at is not None,
        status=account.status,
        created_at=account.created_at,
    )


async def read_user(db: Database, user_id: str, caller: Caller) -> Account:
    """The caller's own account, or anybody's for staff. Errors: NoSuchUser."""
    row = await db.fetchrow(_OF_OWNER, user_id, caller.user_id, caller.may("user:read"))
    if row is None:
        raise NoSuchUser("There is no account of this id.")
    return account_of(row)


async def list_users(db: Database, query: UsersQuery) -> ListOf[User]:
    """Accounts, newest first."""
    return await read_page(db, "account", COLUMNS, list(_conditions(query)), query, _user_of_row)


def _conditions(query: UsersQuery) -> Iterator[Condition]:
    """Worded so that the small partial indexes serve what is rare."""
    if query.email is not None:
        yield "lower(email) = {}", login_name(query.email)
    if query.role is not None:
        yield "{} = ANY (roles)", query.role
        if query.role != "customer":
            yield "roles <> '{customer}'"
    if query.status is not None:
        yield "status = {}", query.status
        if query.status != "active":
            yield "status <> 'active'"


def _user_of_row(row: Row) -> User:
    return user_of(account_of(row))
