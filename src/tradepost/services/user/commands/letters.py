"""Asking for letters: with a one-time link, or just to let the owner know."""

from datetime import datetime

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.ids import new_id
from tradepost.services.user.domain.account import Status
from tradepost.services.user.domain.letter import (
    LIFE_OF_LINK,
    LIFE_OF_NOTICE,
    LINKS_LIMIT,
    LINKS_WINDOW,
    Kind,
    Notice,
)
from tradepost.services.user.repository import account as accounts
from tradepost.services.user.repository import letter as letters
from tradepost.services.user.repository.letter import NewLink


async def send_link(tx: Tx, kind: Kind, user_id: str, email: str, now: datetime, *, limited: bool = True) -> bool:
    """A letter with a new link; false when `limited` and the account got enough of them lately."""
    link = NewLink(
        id=new_id(),
        kind=kind,
        user_id=user_id,
        email=email,
        expires_at=now + LIFE_OF_LINK[kind],
        since=now - LINKS_WINDOW if limited else now,
        limit=LINKS_LIMIT,
    )
    return await letters.add_link(tx, new_id(), link, now)


async def send_notice(tx: Tx, notice: Notice, user_id: str, email: str, now: datetime) -> None:
    """A letter that says what was done to the account."""
    await letters.add_notice(tx, new_id(), notice, user_id, email, now, now + LIFE_OF_NOTICE)


async def send_reset(db: Database, email: str, now: datetime, *, limited: bool) -> None:
    """A letter to choose a new password, if there is an active account with this address, in lower case."""
    found = await accounts.find(db, email)
    if found is None or found[0].status is not Status.ACTIVE:
        return
    account, _ = found
    assert account.email is not None
    async with db.transaction() as tx:
        await send_link(tx, "reset_password", account.id, account.email, now, limited=limited)
