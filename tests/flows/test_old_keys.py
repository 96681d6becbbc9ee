"""What an Idempotency-Key was answered is forgotten after a day, and who ignores one has a reason."""

import re
from pathlib import Path
from typing import Any

from tests.shop import eventually, open_shop
from tradepost.kernel.http.endpoint import Idempotency
from tradepost.main import SERVICES

REASONS = Path(__file__).parents[2] / "docs/adr/0031-posts-that-need-no-key.md"
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


def test_every_post_that_ignores_a_key_is_among_those_with_a_reason() -> None:
    ignoring = {
        endpoint.path
        for service in SERVICES
        for endpoint in service.endpoints
        if endpoint.method == "POST" and endpoint.idempotency is Idempotency.IGNORED
    }

    named = re.findall(r"^- (`/.+?`): ", REASONS.read_text(), re.M)
    assert ignoring == {path for paths in named for path in re.findall(r"`(.+?)`", paths)}
