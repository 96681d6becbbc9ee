"""What an Idempotency-Key was answered is forgotten after a day, whichever service it was sent to."""

from pathlib import Path
from typing import Any

from tests.shop import eventually, open_shop
from tradepost.main import SERVICES

STORE = """
INSERT INTO "{schema}".idempotency (scope, key, body_hash, status, headers, body, at)
VALUES ('s', 'old', 'h', 200, '{{}}', NULL, now() - interval '25 hours'), ('s', 'new', 'h', 200, '{{}}', NULL, now())
"""


async def test_every_service_forgets(database_url: str, superuser: Any, tmp_path: Path) -> None:
    for service in SERVICES:
        await superuser.execute(STORE.format(schema=service.name))

    async def left() -> list[str]:
        return [
            row["key"]
            for service in SERVICES
            for row in await superuser.fetch(f'SELECT key FROM "{service.name}".idempotency')
        ]

    async with open_shop(database_url, tmp_path):
        await eventually(left, lambda keys: keys == ["new"] * len(SERVICES))
