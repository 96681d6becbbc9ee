"""The account: its states, the moves between them, and the fact that each move publishes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.errors import Conflict, Forbidden, NotFound

Role = Literal["customer", "staff", "admin"]
Permission = Literal[
    "user:read", "user:write", "product:read", "product:write", "inventory:read", "inventory:write",
    "order:read", "order:write", "payment:read", "payment:write", "shipping:read", "shipping:write",
    "notification:read", "notification:write",
]  # fmt: skip

CUSTOMER: Final = ("customer",)
ERASED_NAME: Final = "Erased"


class EmailTaken(Conflict):
    """Another account has this e-mail address."""

    code = "email_taken"


class LastAdmin(Conflict):
    """The shop would be left without an administrator."""

    code = "last_admin"


class AccountDisabled(Forbidden):
    """The account exists and an administrator has closed it."""

    code = "account_disabled"


class AccountErased(Conflict):
    """What is left of the account can't be changed any more."""

    code = "account_erased"


class NoSuchUser(NotFound):
    """No such account, or none that the caller may know of."""

    code = "user_not_found"


class Status(StrEnum):
    """Whether the account can be used."""

    ACTIVE = "active"
    DISABLED = "disabled"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`email` is None once erased; `version` counts the events about it."""

    id: str
    email: str | None
    name: str
    phone: str | None = None
    roles: tuple[str, ...] = CUSTOMER
    permissions: tuple[str, ...] = ()
    status: Status = Status.ACTIVE
    email_verified_at: datetime | None = None
    version: int = 1
    created_at: datetime


def register(
    *, id_: str, email: str, name: str, phone: str | None, now: datetime, roles: Collection[str] = CUSTOMER
) -> tuple[Account, UserRegistered]:
    """A new account."""
    account = Account(id=id_, email=email, name=name, phone=phone, roles=_sorted(roles), created_at=now)
    return account, UserRegistered(user_id=id_, email=email, name=name, phone=phone, roles=account.roles)


def edit(account: Account, *, name: str, phone: str | None) -> tuple[Account, UserUpdated | None]:
    """Another name or phone; no fact when nothing changes."""
    return _updated(account, replace(account, name=name, phone=phone))


def confirm_email(account: Account, email: str, now: datetime) -> tuple[Account, UserUpdated | None]:
    """Its owner reads what is sent to `email`, which becomes the account's address if it was not."""
    return _updated(account, replace(account, email=email, email_verified_at=now))


def assign(
    account: Account, roles: Collection[str], permissions: Collection[str], admins: Collection[str]
) -> tuple[Account, UserUpdated | None]:
    """Other roles and permissions; `admins` are the active administrators. Errors: LastAdmin, AccountErased."""
    if "admin" not in roles:
        _spare_last_admin(account, admins)
    return _updated(account, replace(account, roles=_sorted(roles), permissions=_sorted(permissions)))


def disable(account: Account, admins: Collection[str]) -> Account:
    """Closed until it is enabled again. Errors: LastAdmin, AccountErased."""
    _refuse_erased(account)
    _spare_last_admin(account, admins)
    return replace(account, status=Status.DISABLED)


def enable(account: Account) -> Account:
    """Open again. Errors: AccountErased."""
    _refuse_erased(account)
    return replace(account, status=Status.ACTIVE)


def erase(account: Account, admins: Collection[str]) -> tuple[Account, UserErased]:
    """Nothing personal is left, and the id stays for what refers to it. Errors: LastAdmin, AccountErased."""
    _refuse_erased(account)
    _spare_last_admin(account, admins)
    erased = Account(
        id=account.id,
        email=None,
        name=ERASED_NAME,
        status=Status.ERASED,
        version=account.version + 1,
        created_at=account.created_at,
    )
    return erased, UserErased(user_id=account.id)


def announce(account: Account) -> tuple[Account, UserUpdated | UserErased]:
    """What the account is, told once more."""
    is_erased = account.status is Status.ERASED
    fact = UserErased(user_id=account.id) if is_erased else _published(account)
    return replace(account, version=account.version + 1), fact


def _updated(before: Account, after: Account) -> tuple[Account, UserUpdated | None]:
    _refuse_erased(before)
    if after == before:
        return before, None
    if _published(after) == _published(before):
        return after, None
    fact = _published(after)
    return replace(after, version=before.version + 1), fact


def _published(account: Account) -> UserUpdated:
    assert account.email is not None
    return UserUpdated(
        user_id=account.id, email=account.email, name=account.name, phone=account.phone, roles=account.roles
    )


def _refuse_erased(account: Account) -> None:
    if account.status is Status.ERASED:
        raise AccountErased("The account was erased.")


def _spare_last_admin(account: Account, admins: Collection[str]) -> None:
    if account.id in admins and len(admins) == 1:
        raise LastAdmin("This is the last administrator; make another one first.")


def _sorted(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
