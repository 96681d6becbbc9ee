"""Making an account, and what its owner does with it."""

from datetime import datetime

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.services.user.commands.letters import send_link, send_notice
from tradepost.services.user.domain import account as domain
from tradepost.services.user.domain.account import Account, Status
from tradepost.services.user.domain.letter import InvalidLink
from tradepost.services.user.repository import account as accounts
from tradepost.services.user.repository import address as addresses
from tradepost.services.user.repository import letter as letters
from tradepost.services.user.repository import session as sessions


async def register(
    tx: Tx,
    *,
    id_: str,
    email: str,
    name: str,
    phone: str | None,
    password_hash: str,
    now: datetime,
    cause: Cause,
) -> Account:
    """A customer's account, and a letter to verify the address. Errors: EmailTaken."""
    account, registered = domain.register(id_=id_, email=email, name=name, phone=phone, now=now)
    await accounts.add(tx, account, registered, password_hash, cause)
    await send_link(tx, "verify_email", id_, email, now)
    return account


async def edit(tx: Tx, account: Account, *, name: str, phone: str | None, cause: Cause) -> Account:
    """Another name or phone for an account that `tx` has locked."""
    edited, updated = domain.edit(account, name=name, phone=phone)
    await accounts.save(tx, edited, updated, cause)
    return edited


async def ask_to_verify(tx: Tx, user_id: str, now: datetime, *, limited: bool) -> None:
    """Another letter to verify the address, where that is still to be done. Errors: NoSuchUser."""
    account = await accounts.lock_active(tx, user_id)
    if account.email is not None and account.email_verified_at is None:
        await send_link(tx, "verify_email", user_id, account.email, now, limited=limited)


async def verify_email(tx: Tx, link_id: str, now: datetime, cause: Cause) -> Account:
    """The address that the link was sent to is the account's, and is verified. Errors: InvalidLink, EmailTaken."""
    used = await letters.use_link(tx, link_id, "verify_email", now)
    if used is None:
        raise InvalidLink("The link was used already or is too old; ask for another one.")
    user_id, email = used
    before = await accounts.lock_active(tx, user_id)
    account, updated = domain.confirm_email(before, email, now)
    await accounts.save(tx, account, updated, cause)
    if updated is not None and before.email is not None:
        await letters.void_links(tx, user_id, now, ("reset_password", "verify_email"))
        await send_notice(tx, "email_changed", user_id, before.email, now)
    return account


async def assign(
    tx: Tx,
    account: Account,
    roles: frozenset[str],
    permissions: frozenset[str],
    admins: frozenset[str],
    now: datetime,
    cause: Cause,
) -> Account:
    """Other roles and permissions, in force at once: the sessions end. Errors: LastAdmin, AccountErased."""
    assigned, updated = domain.assign(account, roles, permissions, admins)
    if assigned != account:
        await accounts.save(tx, assigned, updated, cause)
        await sessions.revoke_all(tx, account.id, now)
    return assigned


async def set_status(tx: Tx, user_id: str, status: Status, now: datetime, cause: Cause) -> Account:
    """Close the account, which ends its sessions, or open it again. Errors: NoSuchUser, LastAdmin, AccountErased."""
    admins = await accounts.lock_admins(tx)
    before = await accounts.lock(tx, user_id)
    account = domain.enable(before) if status is Status.ACTIVE else domain.disable(before, admins)
    await accounts.save(tx, account, None, cause)
    if account.status is Status.DISABLED:
        await sessions.revoke_all(tx, user_id, now)
        await letters.void_links(tx, user_id, now, ("reset_password", "verify_email"))
    return account


async def erase(tx: Tx, user_id: str, now: datetime, cause: Cause) -> None:
    """Forget the person; the id stays for what refers to it. Errors: NoSuchUser, LastAdmin, AccountErased."""
    admins = await accounts.lock_admins(tx)
    account = await accounts.lock(tx, user_id)
    erased, fact = domain.erase(account, admins)
    await accounts.set_password(tx, user_id, None)
    await accounts.save(tx, erased, fact, cause)
    await sessions.revoke_all(tx, user_id, now)
    await sessions.forget_origins(tx, user_id)
    await sessions.clear_failures(tx, (account.email or "").lower())
    await addresses.delete_all(tx, user_id)
    await letters.delete_all(tx, user_id)
    await accounts.forget_answers(tx, user_id)
