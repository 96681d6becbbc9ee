"""The first administrator: made when there is none, by one of the processes that start."""

import secrets
from datetime import datetime
from typing import Final

from tradepost.kernel.clock import now as present
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.user.domain import account as domain
from tradepost.services.user.domain.profile import login_name
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.repository import account as accounts

LOCK: Final = 7238113970
PASSWORD_BYTES: Final = 15  # 20 characters
NAME: Final = "Administrator"

_ANY: Final = """
SELECT true FROM account WHERE roles <> '{customer}' AND 'admin' = ANY (roles) AND status = 'active' LIMIT 1
"""


async def ensure_admin(db: Database, passwords: Passwords, email: str, password: str | None) -> tuple[str, str] | None:
    """An administrator with this address, unless there is one already. The address and the password when that was
    made here: it can be read nowhere else."""
    if await db.fetchval(_ANY):
        return None
    chosen = password or secrets.token_urlsafe(PASSWORD_BYTES)
    password_hash = await passwords.hash(chosen)
    async with db.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await tx.fetchval(_ANY):
            return None
        await _make_admin(tx, login_name(email), password_hash, present())
    return None if password else (email, chosen)


async def _make_admin(tx: Tx, email: str, password_hash: str, now: datetime) -> None:
    cause = Cause(new_id())
    known = (await accounts.ids_of(tx, [email])).get(email)
    if known is None:
        account, registered = domain.register(
            id_=new_id(), email=email, name=NAME, phone=None, now=now, roles=("admin",)
        )
        await accounts.add(tx, account, registered, password_hash, cause)
        return
    account = domain.enable(await accounts.lock(tx, known))
    account, updated = domain.assign(account, {*account.roles, "admin"}, account.permissions, ())
    await accounts.save(tx, account, updated, cause)
    await accounts.set_password(tx, account.id, password_hash)
