"""Another password, by a link or by who knows the present one."""

from datetime import datetime

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.services.user.commands.letters import send_notice
from tradepost.services.user.domain import account as domain
from tradepost.services.user.domain.letter import InvalidLink
from tradepost.services.user.repository import account as accounts
from tradepost.services.user.repository import letter as letters
from tradepost.services.user.repository import session as sessions


async def reset(tx: Tx, link_id: str, password_hash: str, now: datetime, cause: Cause) -> None:
    """The password that comes with a link; every session ends. Errors: InvalidLink."""
    used = await letters.use_link(tx, link_id, "reset_password", now)
    if used is None:
        raise InvalidLink("The link was used already or is too old; ask for another one.")
    user_id, email = used
    account = await accounts.lock_active(tx, user_id)
    if account.email_verified_at is None:  # who has the link reads the address
        account, fact = domain.confirm_email(account, email, now)
        await accounts.save(tx, account, fact, cause)
    await _set(tx, user_id, email, password_hash, now)


async def change(tx: Tx, user_id: str, session_id: str | None, password_hash: str, now: datetime) -> None:
    """Another password; every other session ends. Errors: NoSuchUser."""
    account = await accounts.lock_active(tx, user_id)
    assert account.email is not None
    await _set(tx, user_id, account.email, password_hash, now, spared=session_id)


async def _set(
    tx: Tx, user_id: str, email: str, password_hash: str, now: datetime, *, spared: str | None = None
) -> None:
    await accounts.set_password(tx, user_id, password_hash)
    await sessions.revoke_all(tx, user_id, now, but=spared)
    await sessions.clear_failures(tx, email.lower())
    # A stranger who had the old password may have asked to move the account to an address of his own.
    await letters.void_links(tx, user_id, now, ("reset_password", "verify_email"))
    await send_notice(tx, "password_changed", user_id, email, now)
