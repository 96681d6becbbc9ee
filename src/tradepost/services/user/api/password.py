"""Another password, by a link or by who knows the present one."""

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.endpoint import Idempotency, Rate, Request, customer, post, public
from tradepost.services.user.api.proof import prove_caller
from tradepost.services.user.commands import password as commands
from tradepost.services.user.commands.letters import send_reset
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.letter import InvalidLink
from tradepost.services.user.domain.password import AnyPassword, NewPassword, refuse_common
from tradepost.services.user.domain.profile import login_name
from tradepost.services.user.domain.secret import link_of
from tradepost.services.user.repository import letter as letters

FORGOT_S: Final = 0.1  # every answer takes at least so long, so that the time doesn't tell which accounts exist


class Forgot(Body, frozen=True, kw_only=True):
    """Where to send the link."""

    email: Annotated[str, Meta(max_length=320)]


class Reset(Body, frozen=True, kw_only=True):
    """The secret of the link, and the password to be."""

    token: Annotated[str, Meta(max_length=255)]
    password: NewPassword


class Change(Body, frozen=True, kw_only=True):
    """The password that is, and the one to be."""

    current_password: AnyPassword
    new_password: NewPassword


class OnItsWay(msgspec.Struct, frozen=True):
    """A letter will bring what is needed."""

    detail: str


async def forgot(request: Request[Forgot, None], desk: Desk) -> OnItsWay:
    """Send a link to choose a new password, if there is such an account; the answer is the same either way."""
    limited = desk.settings.rate_limits
    await asyncio.gather(
        send_reset(desk.db, login_name(request.body.email), now(), limited=limited), asyncio.sleep(FORGOT_S)
    )
    return OnItsWay("If there is an account with this address, a letter with a link is on its way.")


async def reset(request: Request[Reset, None], desk: Desk) -> None:
    """Set the password with a link from a letter; every session of the account ends."""
    link_id = link_of(desk.key, request.body.token)
    link = await letters.read_link(desk.db, link_id, "reset_password") if link_id else None
    if link_id is None or link is None:
        raise InvalidLink("This is no link of ours; ask for another one.")
    refuse_common(request.body.password, link[1], desk.passwords.common)
    password_hash = await desk.passwords.hash(request.body.password)
    async with desk.db.transaction() as tx:
        await commands.reset(tx, link_id, password_hash, now(), request.cause)


async def change(request: Request[Change, None], desk: Desk) -> None:
    """Set another password; every other session of the account ends."""
    body, caller = request.body, request.caller
    account = await prove_caller(desk, caller, body.current_password)
    refuse_common(body.new_password, account.email or "", desk.passwords.common, "/new_password")
    password_hash = await desk.passwords.hash(body.new_password)
    async with desk.db.transaction() as tx:
        await commands.change(tx, account.id, caller.session_id, password_hash, now())


_ignored = Idempotency.IGNORED

endpoints = (
    post("/user/password/forgot", forgot, access=public, rate=Rate.SIGN_IN, idempotency=_ignored, status=202),
    post("/user/password/reset", reset, access=public, rate=Rate.SIGN_IN, idempotency=_ignored),
    post("/user/password/change", change, access=customer, rate=Rate.SIGN_IN, idempotency=_ignored),
)
