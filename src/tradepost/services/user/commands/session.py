"""Logging in, staying logged in, and proving who one is."""

import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import Refusal
from tradepost.kernel.http.network import network_of
from tradepost.kernel.ids import new_id
from tradepost.services.user.domain.account import Account, AccountDisabled, Status
from tradepost.services.user.domain.password import InvalidCredentials, LoginDelayed
from tradepost.services.user.domain.secret import SECRET_BYTES, digest, successor, text_of
from tradepost.services.user.domain.session import InvalidRefreshToken, RefreshTokenReused, Verdict, expiry, judge
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.repository import account as accounts
from tradepost.services.user.repository import session as sessions
from tradepost.services.user.repository.session import ANYWHERE, Origin

UNKNOWN: Final = "unknown"  # that of who has no address
SESSION: Final = "session "  # and its id: the place of who is logged in


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What everyone passes who comes with a password; `slows` those down who guess."""

    db: Database
    passwords: Passwords
    slows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A session to make an access token for."""

    account: Account
    session_id: str
    refresh_token: str


async def prove(door: Door, email: str, password: str, place: str, now: datetime) -> tuple[Account, str]:
    """The account whose password this is, and the password's hash; `email` in lower case, and its turn taken. `place`
    is who tries: a network, or a session of the account. Errors: InvalidCredentials, LoginDelayed, AccountDisabled,
    Unavailable."""
    if door.slows:
        await _refuse_early(door.db, email, place, now)
    account, stored = await accounts.find(door.db, email) or (None, None)
    if not await door.passwords.verify(password, stored) or account is None or stored is None:
        if door.slows:
            await sessions.record_failure(door.db, email, place, now)
        raise InvalidCredentials("E-mail address or password is wrong.")
    if account.status is not Status.ACTIVE:
        raise AccountDisabled("This account was closed; ask the shop.")
    return account, stored


async def log_in(door: Door, email: str, password: str, origin: Origin, now: datetime) -> Grant:
    """A new session. Errors: as for `prove`."""
    place = network_of(origin.address) or UNKNOWN
    account, stored = await prove(door, email, password, place, now)
    stronger = await door.passwords.hash(password) if door.passwords.is_outdated(stored) else None
    session_id, token = new_id(), text_of(secrets.token_bytes(SECRET_BYTES))
    async with door.db.transaction() as tx:
        expires_at = await sessions.add(
            tx, session_id=session_id, user_id=account.id, password_hash=stored, origin=origin, now=now
        )
        if expires_at is None:
            raise InvalidCredentials("The password was changed just now.")
        account = await accounts.read(tx, account.id)  # its roles may be others than when the password was checked
        await _keep(tx, token, session_id, expires_at)
        await sessions.clear_failures(tx, email, place)
        if stronger is not None:
            await accounts.rehash(tx, account.id, stored, stronger)
    return Grant(account=account, session_id=session_id, refresh_token=token)


async def renew(tx: Tx, token: str, now: datetime) -> Grant | Refusal:
    """The session with the successor of a refresh token. A refusal is returned, not raised, since its effect must be
    committed: a token that comes back after its grace ends the session."""
    row = await sessions.lock_token(tx, digest(token))
    if row is None:
        return InvalidRefreshToken("The refresh token is not known; log in.")
    verdict = judge(row["used_at"], row["expires_at"], row["revoked_at"], now)
    if verdict is Verdict.REUSED:
        await sessions.revoke(tx, row["session_id"], row["user_id"], now)
        return RefreshTokenReused("The refresh token was used before, so the session is over; log in.")
    expires_at = expiry(row["created_at"], now)
    if verdict is Verdict.DEAD or not await sessions.touch(tx, row["session_id"], now, expires_at):
        return InvalidRefreshToken("The session is over; log in.")
    following = successor(token, row["salt"])
    if verdict is Verdict.ROTATE:
        await sessions.use_token(tx, digest(token), now)
        await _keep(tx, following, row["session_id"], expires_at)
    account = await accounts.lock_active(tx, row["user_id"])
    return Grant(account=account, session_id=row["session_id"], refresh_token=following)


async def _refuse_early(db: Database, email: str, place: str, now: datetime) -> None:
    ready_at = await sessions.ready_at(db, email, place)
    here, anywhere = ready_at.get(place, now), ready_at.get(ANYWHERE, now)
    if anywhere > max(here, now) and not place.startswith(SESSION) and not await sessions.is_known(db, email, place):
        here = anywhere
    if here > now:
        wait_s = math.ceil((here - now).total_seconds())
        raise LoginDelayed(f"Too many wrong passwords; try again in {wait_s} s.", retry_after_s=wait_s)


async def _keep(tx: Tx, token: str, session_id: str, expires_at: datetime) -> None:
    await sessions.add_token(tx, digest(token), session_id, secrets.token_bytes(SECRET_BYTES), expires_at)
