"""What /metrics tells of the log: who is behind, and by how much; and that the page comes whatever fails."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.shop import Shop, eventually, open_shop
from tradepost.gateway import lag

LINE = re.compile(r'^(tradepost_\w+)\{group="([^"]+)",source="([^"]+)"\} (\S+)$', re.M)


async def figures(shop: Shop) -> Mapping[tuple[str, str, str], float]:
    """By metric, source and group."""
    page = await shop.public.get("/metrics")
    assert page.status == 200
    return {(name, source, group): float(value) for name, group, source, value in LINE.findall(page.body.decode())}


async def test_a_group_that_cannot_read_on_is_seen_to_fall_behind(
    database_url: str, tmp_path: Path, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "FRESH_S", 0.0)
    async with open_shop(database_url, tmp_path) as shop:
        await shop.product("MUG-1", stock=5)
        place = ("order", "shipping")
        found = await eventually(
            lambda: figures(shop), lambda now: now.get(("tradepost_consumer_lag_events", *place)) == 0.0
        )
        assert found["tradepost_consumer_lag_seconds", *place] == 0.0
        assert found["tradepost_consumer_lost", *place] == 0.0
        assert found["tradepost_parked_events", *place] == 0.0
        assert 0.0 <= found["tradepost_reader_silent_seconds", *place] < 60.0

        async with superuser.transaction():
            await superuser.execute("LOCK TABLE shipping.shipment IN ACCESS EXCLUSIVE MODE")
            assert (await shop.buy(shop.staff, "MUG-1", guest={"email": "a@b.cd", "name": "A"})).status == 201
            found = await eventually(
                lambda: figures(shop), lambda now: now[("tradepost_consumer_lag_events", *place)] == 1.0
            )
            assert found["tradepost_consumer_lag_seconds", *place] > 0.0
        await eventually(lambda: figures(shop), lambda now: now[("tradepost_consumer_lag_events", *place)] == 0.0)


async def test_the_page_comes_when_the_tables_cannot_be_read(
    database_url: str, tmp_path: Path, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "FRESH_S", 0.0)
    async with open_shop(database_url, tmp_path) as shop, superuser.transaction():
        await superuser.execute("LOCK TABLE shipping.parked IN ACCESS EXCLUSIVE MODE")
        name = "tradepost_consumer_lag_events"
        found = await eventually(lambda: figures(shop), lambda now: (name, "order", "inventory") in now)
        assert (name, "order", "shipping") not in found
