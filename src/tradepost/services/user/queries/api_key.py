"""API keys as administrators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row
from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.paging import read_page

_COLUMNS: Final = "id::text, name, hint, permissions, created_by::text, created_at, last_used_at"


class ApiKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret; `hint` is how that begins."""

    id: str
    name: str
    hint: str
    permissions: Sequence[str]
    created_by: str
    created_at: datetime
    last_used_at: datetime | None


async def list_api_keys(db: Database, query: ListQuery) -> ListOf[ApiKeyView]:
    """The keys in use, newest first."""
    return await read_page(db, "api_key", _COLUMNS, ["revoked_at IS NULL"], query, _view)


def _view(row: Row) -> ApiKeyView:
    return ApiKeyView(**row)
