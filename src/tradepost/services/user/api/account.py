"""Registration, and the profile."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.endpoint import (
    Answer,
    Idempotency,
    Rate,
    Request,
    customer,
    delete,
    get,
    owner_or,
    patch,
    post,
    public,
    staff,
)
from tradepost.kernel.http.reply import Reply
from tradepost.kernel.ids import new_id
from tradepost.services.user.commands import account as commands
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Account
from tradepost.services.user.domain.password import NewPassword, refuse_common
from tradepost.services.user.domain.profile import parse_email, parse_name, parse_phone
from tradepost.services.user.domain.secret import body_proof
from tradepost.services.user.queries.account import User, read_user, user_of
from tradepost.services.user.repository import account as accounts

Email = Annotated[str, Meta(max_length=320)]  # the rest by `parse_email`
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Phone = Annotated[str, Meta(max_length=40)]


class Register(Body, frozen=True, kw_only=True):
    """A customer to be."""

    email: Email
    password: NewPassword
    name: Name
    phone: Phone | None = None


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The new account."""

    user_id: str
    email: str | None
    name: str
    phone: str | None
    roles: Sequence[str]
    email_verified: bool
    created_at: datetime


class Profile(Body, frozen=True, kw_only=True):
    """The fields to change; `phone: null` removes it."""

    name: Name | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET


async def register(request: Request[Register, None], desk: Desk) -> Answer[Registered]:
    """Make a customer's account; a letter to verify the address goes out."""
    body, key = request.body, request.idempotency_key
    email, name, phone = parse_email(body.email), parse_name(body.name), parse_phone(body.phone)
    refuse_common(body.password, email, desk.passwords.common)
    password_hash = await desk.passwords.hash(body.password)  # slow, so outside the transaction
    # A bare hash of the body would let who reads the table try passwords fast.
    scope, proof = (
        idempotency.scope_of(request.address, "POST", "/user/register"),
        body_proof(desk.key, request.body_hash),
    )
    async with desk.db.transaction() as tx:
        if key is not None and (stored := await idempotency.claim(tx, scope, key, proof)):
            account = await accounts.lock(tx, msgspec.json.decode(stored.body or b"", type=str))
            return Answer(_registered(account), headers={idempotency.REPLAYED: "true"})
        account = await commands.register(
            tx,
            id_=new_id(),
            email=email,
            name=name,
            phone=phone,
            password_hash=password_hash,
            now=now(),
            cause=request.cause,
        )
        if key is not None:
            idempotency.store(tx, scope, key, proof, Reply(201, msgspec.json.encode(account.id)))
    return Answer(_registered(account))


async def read_me(request: Request[None, None], desk: Desk) -> Answer[User]:
    """The caller's own account."""
    account = await read_user(desk.db, request.caller.user_id, request.caller)
    return Answer(user_of(account), etag=str(account.version))


async def read_one(request: Request[None, None], desk: Desk) -> Answer[User]:
    """An account: one's own, or anybody's for staff."""
    account = await read_user(desk.db, request.path["user_id"], request.caller)
    return Answer(user_of(account), etag=str(account.version))


async def edit_me(request: Request[Profile, None], desk: Desk, tx: Tx) -> Answer[User]:
    """Change name or phone."""
    account = await accounts.lock_active(tx, request.caller.user_id)
    request.require_version(account.version)
    body = request.body
    name = account.name if body.name is UNSET else parse_name(body.name)
    phone = account.phone if body.phone is UNSET else parse_phone(body.phone)
    edited = await commands.edit(tx, account, name=name, phone=phone, cause=request.cause)
    return Answer(user_of(edited), etag=str(edited.version))


async def erase_me(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """Erase the caller's account and everything personal in it, for good."""
    await commands.erase(tx, request.caller.user_id, now(), request.cause)


def _registered(account: Account) -> Registered:
    return Registered(
        user_id=account.id,
        email=account.email,
        name=account.name,
        phone=account.phone,
        roles=account.roles,
        email_verified=account.email_verified_at is not None,
        created_at=account.created_at,
    )


endpoints = (
    post("/user/register", register, access=public, rate=Rate.SIGN_IN, idempotency=Idempotency.OWN, status=201),
    get("/user/me", read_me, access=customer),
    patch("/user/me", edit_me, access=customer),
    delete("/user/me", erase_me, access=customer),
    get("/user/users/{user_id}", read_one, access=owner_or(staff("user:read"))),
)
