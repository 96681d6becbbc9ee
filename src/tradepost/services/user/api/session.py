"""Logging in and out, and the keys that others check our tokens with."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.auth import TTL_S
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound, Refusal
from tradepost.kernel.http.body import Body, ListOf, ListQuery
from tradepost.kernel.http.endpoint import (
    Answer,
    Endpoint,
    Idempotency,
    Rate,
    Request,
    customer,
    delete,
    get,
    post,
    public,
)
from tradepost.services.user.commands import session as commands
from tradepost.services.user.commands.session import Grant
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.password import AnyPassword
from tradepost.services.user.domain.profile import login_name
from tradepost.services.user.queries.session import SessionView, list_sessions
from tradepost.services.user.repository import session as sessions
from tradepost.services.user.repository.session import Origin

Token = Annotated[str, Meta(min_length=1, max_length=255)]


class LogIn(Body, frozen=True, kw_only=True):
    """Who one is, and the proof."""

    email: Annotated[str, Meta(max_length=320)]
    password: AnyPassword


class Refresh(Body, frozen=True, kw_only=True):
    """The newest refresh token of a session."""

    refresh_token: Token


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in."""

    id: str
    email: str | None
    name: str
    roles: Sequence[str]


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens: `access_token` for every call during `expires_in` seconds, `refresh_token` for the next pair."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    user: Who


class Jwks(msgspec.Struct, frozen=True):
    """A JWK Set (RFC 7517)."""

    keys: Sequence[Mapping[str, str]]


class NoSuchSession(NotFound):
    """No open session of this id."""

    code = "session_not_found"


async def log_in(request: Request[LogIn, None], desk: Desk) -> LoggedIn:
    """Begin a session with e-mail address and password."""
    email = login_name(request.body.email)
    origin = Origin(address=request.address, user_agent=request.headers.get("user-agent", ""))
    async with desk.turns.of(email):
        return _logged_in(await commands.log_in(desk.door, email, request.body.password, origin, now()), desk)


async def refresh(request: Request[Refresh, None], desk: Desk) -> LoggedIn:
    """The next pair of tokens. An answer that got lost can be asked for again for some seconds; after that a token
    that comes back ends the session."""
    async with desk.db.transaction() as tx:
        grant = await commands.renew(tx, request.body.refresh_token, now())
    if isinstance(grant, Refusal):
        raise grant
    return _logged_in(grant, desk)


async def log_out(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """End the session that the token belongs to."""
    caller = request.caller
    if caller.session_id is not None:
        await sessions.revoke(tx, caller.session_id, caller.user_id, now())


async def read_sessions(request: Request[None, ListQuery], desk: Desk) -> ListOf[SessionView]:
    """Where the caller is logged in."""
    return await list_sessions(desk.db, request.caller, request.query, now())


async def end_session(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """Log out elsewhere."""
    if not await sessions.revoke(tx, request.path["session_id"], request.caller.user_id, now()):
        raise NoSuchSession("You have no open session of this id.")


async def read_keys(request: Request[None, None], desk: Desk) -> Answer[Jwks]:
    """The public keys that access tokens are signed with."""
    return Answer(Jwks(desk.jwks["keys"]), headers={"cache-control": "public, max-age=300"})


def _logged_in(grant: Grant, desk: Desk) -> LoggedIn:
    account = grant.account
    return LoggedIn(
        access_token=desk.signer.issue(account.id, account.roles, account.permissions, grant.session_id, now()),
        token_type="Bearer",  # noqa: S106 - a type, no token
        expires_in=TTL_S,
        refresh_token=grant.refresh_token,
        user=Who(id=account.id, email=account.email, name=account.name, roles=account.roles),
    )


_ignored = Idempotency.IGNORED

endpoints = (
    post("/user/login", log_in, access=public, rate=Rate.SIGN_IN, idempotency=_ignored),
    post("/user/token/refresh", refresh, access=public, idempotency=_ignored),
    post("/user/logout", log_out, access=customer, idempotency=_ignored),
    get("/user/sessions", read_sessions, access=customer),
    delete("/user/sessions/{session_id}", end_session, access=customer),
    Endpoint(
        method="GET",
        path="/.well-known/jwks.json",
        handler=read_keys,
        access=public,
        rate=Rate.FREE,
        served_by="user",
    ),
)
