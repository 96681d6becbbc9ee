"""API keys: for programs, which exchange them for access tokens."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.auth import TTL_S
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.http.body import Body, ListOf, ListQuery, ShortText
from tradepost.kernel.http.endpoint import Idempotency, Request, admin, delete, get, post, public
from tradepost.services.user.commands import api_key as commands
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Permission
from tradepost.services.user.domain.secret import digest
from tradepost.services.user.queries.api_key import ApiKeyView, list_api_keys
from tradepost.services.user.repository import api_key as api_keys


class NewApiKey(Body, frozen=True, kw_only=True):
    """What the key is for, and what it may do."""

    name: ShortText
    permissions: Annotated[frozenset[Permission], Meta(min_length=1)]


class CreatedApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key, which is shown this once."""

    id: str
    name: str
    api_key: str
    permissions: Sequence[str]


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


async def create(request: Request[NewApiKey, None], desk: Desk, tx: Tx) -> CreatedApiKey:
    """Make a key; it acts as staff, under its own id."""
    body = request.body
    key, secret = await commands.create(
        tx, name=body.name, permissions=body.permissions, created_by=request.caller.user_id, now=now()
    )
    return CreatedApiKey(id=key.id, name=key.name, api_key=secret, permissions=key.permissions)


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


endpoints = (
    # Nothing is stored for an Idempotency-Key: the answer holds the secret.
    post("/user/api-keys", create, access=admin, idempotency=Idempotency.IGNORED, status=201),
    get("/user/api-keys", list_all, access=admin),
    delete("/user/api-keys/{key_id}", revoke, access=admin),
    post("/user/token/api-key", exchange, access=public, idempotency=Idempotency.IGNORED),
)
