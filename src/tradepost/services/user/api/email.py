"""The e-mail address: verified by a link, changed by a link to the new one; and the letters themselves."""

from typing import Annotated

from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.http.body import Body, ListOf
from tradepost.kernel.http.endpoint import Idempotency, Rate, Request, admin, customer, get, post, public
from tradepost.services.user.api.password import OnItsWay
from tradepost.services.user.api.proof import prove_caller
from tradepost.services.user.commands import account as commands
from tradepost.services.user.commands.letters import send_link
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.letter import InvalidLink
from tradepost.services.user.domain.password import AnyPassword
from tradepost.services.user.domain.profile import parse_email
from tradepost.services.user.domain.secret import link_of
from tradepost.services.user.queries.account import User, user_of
from tradepost.services.user.queries.letter import LettersQuery, LetterView, list_letters


class Verify(Body, frozen=True, kw_only=True):
    """The secret of the link."""

    token: Annotated[str, Meta(max_length=255)]


class ChangeEmail(Body, frozen=True, kw_only=True):
    """The address to be, and the proof that it is the owner who asks."""

    email: Annotated[str, Meta(max_length=320)]
    current_password: AnyPassword


async def verify(request: Request[Verify, None], desk: Desk, tx: Tx) -> User:
    """Confirm an address with a link from a letter."""
    link_id = link_of(desk.key, request.body.token)
    if link_id is None:
        raise InvalidLink("This is no link of ours; ask for another one.")
    return user_of(await commands.verify_email(tx, link_id, now(), request.cause))


async def send_again(request: Request[None, None], desk: Desk, tx: Tx) -> OnItsWay:
    """Another letter with a link, while the address is not verified."""
    await commands.ask_to_verify(tx, request.caller.user_id, now(), limited=desk.settings.rate_limits)
    return OnItsWay("While the address is not verified, a letter with a link is on its way to it.")


async def change(request: Request[ChangeEmail, None], desk: Desk) -> OnItsWay:
    """Send a link to the new address; it takes the place of the old one when the link is used."""
    email = parse_email(request.body.email)
    account = await prove_caller(desk, request.caller, request.body.current_password)
    async with desk.db.transaction() as tx:
        await send_link(tx, "verify_email", account.id, email, now(), limited=desk.settings.rate_limits)
    return OnItsWay("A letter with a link is on its way to the new address.")


async def read_letters(request: Request[None, LettersQuery], desk: Desk) -> ListOf[LetterView]:
    """The letters of this service; with their text, links included, where there is no mail server to take them."""
    return await list_letters(
        desk.db,
        request.query,
        public_url=desk.settings.public_url,
        key=desk.key,
        is_mailbox=desk.smtp is None,
    )


_ignored = Idempotency.IGNORED

endpoints = (
    post("/user/email/verify", verify, access=public, rate=Rate.SIGN_IN, idempotency=_ignored),
    post("/user/email/verify/again", send_again, access=customer, status=202),
    post("/user/email/change", change, access=customer, rate=Rate.SIGN_IN, idempotency=_ignored, status=202),
    get("/user/letters", read_letters, access=admin),
)
