"""Accounts: found, locked, added and saved, together with the event that says so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.events import Cause
from tradepost.services.user.domain.account import Account, EmailTaken, NoSuchUser, Status

COLUMNS: Final = "id::text, email, name, phone, roles, permissions, status, email_verified_at, version, created_at"

# FOR NO KEY UPDATE: a log-in refers to the account by a foreign key, and need not wait.
_LOCK: Final = f"SELECT {COLUMNS} FROM account WHERE id = $1 FOR NO KEY UPDATE"
_READ: Final = f"SELECT {COLUMNS} FROM account WHERE id = $1"
_LOCK_NEXT: Final = (
    f"SELECT {COLUMNS} FROM account WHERE account.id > $1 ORDER BY account.id LIMIT $2 FOR NO KEY UPDATE"
)
_TOLD: Final = "UPDATE account SET version = version + 1 WHERE id = ANY ($1)"
_LOCK_ADMINS: Final = """
SELECT id::text FROM account WHERE roles <> '{customer}' AND 'admin' = ANY (roles) AND status = 'active'
ORDER BY account.id FOR NO KEY UPDATE
"""
_ADD: Final = """
INSERT INTO account (id, email, name, phone, roles, created_at, password_hash, email_verified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (lower(email)) DO NOTHING RETURNING true
"""
_ADD_ALL: Final = """
INSERT INTO account (id, email, name, phone, roles, created_at)
SELECT id, email, name, phone, '{customer}', $5
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, email, name, phone)
ORDER BY lower(email COLLATE "C")
ON CONFLICT (lower(email)) DO NOTHING
RETURNING id::text
"""
_IDS: Final = "SELECT lower(email) AS email, id::text FROM account WHERE lower(email) = ANY ($1::text[])"
_SAVE: Final = """
UPDATE account SET email = $2, name = $3, phone = $4, roles = $5, permissions = $6, status = $7,
                   email_verified_at = $8, version = $9
WHERE id = $1
"""
_FIND: Final = f"SELECT {COLUMNS}, password_hash FROM account WHERE lower(email) = $1 AND status <> 'erased'"
_REHASH: Final = "UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2"
_FORGET_ANSWERS: Final = "DELETE FROM idempotency WHERE starts_with(scope, $1)"
_SET_HASH: Final = "UPDATE account SET password_hash = $2 WHERE id = $1"


def account_of(row: Row) -> Account:
    """An account from a row with `COLUMNS`."""
    return Account(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        phone=row["phone"],
        roles=tuple(row["roles"]),
        permissions=tuple(row["permissions"]),
        status=Status(row["status"]),
        email_verified_at=row["email_verified_at"],
        version=row["version"],
        created_at=row["created_at"],
    )


async def lock(tx: Tx, user_id: str) -> Account:
    """The account, which nobody else changes before the end of `tx`. Errors: NoSuchUser."""
    row = await tx.fetchrow(_LOCK, user_id)
    if row is None:
        raise NoSuchUser("There is no account of this id.")
    return account_of(row)


async def read(tx: Tx, user_id: str) -> Account:
    """The account as it is, for who holds it already."""
    row = await tx.fetchrow(_READ, user_id)
    assert row is not None
    return account_of(row)


async def lock_active(tx: Tx, user_id: str) -> Account:
    """The same for an account in use. Errors: NoSuchUser."""
    account = await lock(tx, user_id)
    if account.status is not Status.ACTIVE:
        raise NoSuchUser("The account is closed.")
    return account


async def lock_next(tx: Tx, after: str, limit: int) -> Sequence[Account]:
    """The accounts in the order of their ids, whatever their status; locked."""
    return [account_of(row) for row in await tx.fetch(_LOCK_NEXT, after, limit)]


async def lock_admins(tx: Tx) -> frozenset[str]:
    """The ids of the active administrators; locked, so that no two of them go at once. Before any other account."""
    return frozenset(row["id"] for row in await tx.fetch(_LOCK_ADMINS))


async def find(db: Database, email: str) -> tuple[Account, str | None] | None:
    """The account with this address, in lower case, and its password's hash."""
    row = await db.fetchrow(_FIND, email)
    return (account_of(row), row["password_hash"]) if row else None


async def add(tx: Tx, account: Account, fact: UserRegistered, password_hash: str | None, cause: Cause) -> None:
    """Errors: EmailTaken."""
    added = await tx.fetchval(
        _ADD,
        account.id,
        account.email,
        account.name,
        account.phone,
        account.roles,
        account.created_at,
        password_hash,
        account.email_verified_at,
    )
    if added is None:
        raise EmailTaken("There is an account with this e-mail address; log in, or ask for a new password.")
    tx.append(fact, sequence=account.version, cause=cause)


async def add_customers(
    tx: Tx, accounts: Sequence[tuple[Account, UserRegistered]], now: datetime, cause: Cause
) -> frozenset[str]:
    """Add those whose address is free, and tell their ids; no address twice."""
    rows = await tx.fetch(
        _ADD_ALL,
        [account.id for account, _ in accounts],
        [account.email for account, _ in accounts],
        [account.name for account, _ in accounts],
        [account.phone for account, _ in accounts],
        now,
    )
    added = frozenset(row["id"] for row in rows)
    for account, fact in accounts:
        if account.id in added:
            tx.append(fact, sequence=account.version, cause=cause)
    return added


async def ids_of(tx: Tx, emails: Sequence[str]) -> dict[str, str]:
    """The ids of the accounts with these addresses, which are in lower case."""
    return {row["email"]: row["id"] for row in await tx.fetch(_IDS, emails)}


async def save(tx: Tx, account: Account, fact: UserUpdated | UserErased | None, cause: Cause) -> None:
    """The account as it is now, and what happened to it. Errors: EmailTaken."""
    try:
        await tx.execute(
            _SAVE,
            account.id,
            account.email,
            account.name,
            account.phone,
            account.roles,
            account.permissions,
            account.status,
            account.email_verified_at,
            account.version,
        )
    except asyncpg.UniqueViolationError:
        raise EmailTaken("Another account has this e-mail address by now.") from None
    if fact is not None:
        tx.append(fact, sequence=account.version, cause=cause)


async def count_told(tx: Tx, told: Sequence[tuple[Account, UserUpdated | UserErased]], cause: Cause) -> None:
    """Append the fact about each account, of which nothing else has changed."""
    await tx.execute(_TOLD, [account.id for account, _ in told])
    for account, fact in told:
        tx.append(fact, sequence=account.version, cause=cause)


async def set_password(tx: Tx, user_id: str, password_hash: str | None) -> None:
    """Replace the password's hash; the caller has locked the account."""
    await tx.execute(_SET_HASH, user_id, password_hash)


async def rehash(tx: Tx, user_id: str, before: str, after: str) -> None:
    """A stronger hash of the same password, unless that was changed meanwhile."""
    await tx.execute(_REHASH, user_id, before, after)


async def forget_answers(tx: Tx, user_id: str) -> None:
    """The answers that are kept for the account's Idempotency-Keys say things about it."""
    await tx.execute(_FORGET_ANSWERS, f"{user_id} ")
