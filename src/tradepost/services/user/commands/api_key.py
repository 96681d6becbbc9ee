"""API keys: made, shown once, revoked."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.ids import new_id
from tradepost.services.user.domain.secret import digest
from tradepost.services.user.repository import api_key as api_keys
from tradepost.services.user.repository.api_key import ApiKey

HINT: Final = 8  # characters


class NoSuchApiKey(NotFound):
    """No key of this id that is in use."""

    code = "api_key_not_found"


async def create(
    tx: Tx, secret: str, *, name: str, permissions: Collection[str], created_by: str, now: datetime
) -> ApiKey:
    """A key that acts as staff with these permissions, for who has the secret, of which the hash is kept."""
    key = ApiKey(
        id=new_id(),
        name=name,
        hint=secret[:HINT],
        permissions=sorted(set(permissions)),
        created_by=created_by,
        created_at=now,
    )
    await api_keys.add(tx, key, digest(secret))
    return key


async def revoke(tx: Tx, key_id: str, now: datetime) -> None:
    """The key is no longer good, nor are the tokens that it was exchanged for. Errors: NoSuchApiKey."""
    if not await api_keys.revoke(tx, key_id, now):
        raise NoSuchApiKey("There is no API key of this id.")
