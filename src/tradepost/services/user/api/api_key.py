"""API keys: for programs, which exchange them for access tokens."""

import secrets
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.auth import TTL_S
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.body import Body, ListOf, ListQuery, ShortText
from tradepost.kernel.http.endpoint import Answer, Idempotency, Request, admin, delete, get, post, public
from tradepost.kernel.http.reply import Reply
from tradepost.services.user.commands import api_key as commands
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Permission
from tradepost.services.user.domain.secret import SECRET_BYTES, api_key_of, body_proof, digest
from tradepost.services.user.queries.api_key import ApiKeyView, list_api_keys
from tradepost.services.user.repository import api_key as api_keys


class NewApiKey(Body, frozen=True, kw_only=True):
    """What the key is for, and what it may do."""

    name: ShortText
    permissions: Annotated[frozenset[Permission], Meta(min_length=1)]


class CreatedApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key, which is shown this once, and to who sends the same Idempotency-Key again."""

    id: str
    name: str
    api_key: str
    permissions: Sequence[str]


class Kept(msgspec.Struct, frozen=True):
    """What is stored for an Idempotency-Key: with the key outside the database it makes the secret again."""

    id: str
    salt: bytes


class Exchange(Body, frozen=True, kw_only=True):
    """An API key."""

    api_key: Annotated[str, Meta(min_length=1, max_length=255)]


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token for every call during `expires_in` seconds."""

    access_token: str
    token_type: str
    expires_in: int


class InvalidApiKey(Unauthenticated):
    """Unknown or revoked."""

    code = "invalid_api_key"


async def create(request: Request[NewApiKey, None], desk: Desk) -> Answer[CreatedApiKey]:
    """Make a key; it acts as staff, under its own id."""
    body, caller, key = request.body, request.caller.user_id, request.idempotency_key
    scope, proof = idempotency.scope_of(caller, "POST", "/user/api-keys"), body_proof(desk.key, request.body_hash)
    async with desk.db.transaction() as tx:
        if key is not None and (stored := await idempotency.claim(tx, scope, key, proof)):
            kept = msgspec.json.decode(stored.body or b"", type=Kept)
            return Answer(_created(kept, body, desk.key), headers={idempotency.REPLAYED: "true"})
        salt = secrets.token_bytes(SECRET_BYTES)
        made = await commands.create(
            tx,
            api_key_of(desk.key, salt),
            name=body.name,
            permissions=body.permissions,
            created_by=caller,
            now=now(),
        )
        kept = Kept(made.id, salt)
        if key is not None:
            idempotency.store(tx, scope, key, proof, Reply(201, msgspec.json.encode(kept)))
    return Answer(_created(kept, body, desk.key))


async def list_all(request: Request[None, ListQuery], desk: Desk) -> ListOf[ApiKeyView]:
    """The keys in use, without their secrets."""
    return await list_api_keys(desk.db, request.query)


async def revoke(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """The key is good for nothing from now on."""
    await commands.revoke(tx, request.path["key_id"], now())


async def exchange(request: Request[Exchange, None], desk: Desk) -> AccessToken:
    """An access token with the key's permissions."""
    found = await api_keys.find(desk.db, digest(request.body.api_key), now())
    if found is None:
        raise InvalidApiKey("The API key is unknown or was revoked.")
    key_id, permissions = found
    token = desk.signer.issue(key_id, ["staff"], permissions, key_id, now())
    return AccessToken(access_token=token, token_type="Bearer", expires_in=TTL_S)  # noqa: S106 - a type, no token


def _created(kept: Kept, body: NewApiKey, key: bytes) -> CreatedApiKey:
    secret = api_key_of(key, kept.salt)
    return CreatedApiKey(id=kept.id, name=body.name, api_key=secret, permissions=sorted(body.permissions))


endpoints = (
    post("/user/api-keys", create, access=admin, idempotency=Idempotency.OWN, status=201),
    get("/user/api-keys", list_all, access=admin),
    delete("/user/api-keys/{key_id}", revoke, access=admin),
    post("/user/token/api-key", exchange, access=public, idempotency=Idempotency.IGNORED),
)
