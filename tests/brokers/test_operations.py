"""The operator's view of a shop whose events travel by RabbitMQ: lag, relays, dead letters, and the way back."""

import re
from pathlib import Path
from typing import Any

import aio_pika
import msgspec
import pytest

from tests.brokers.place import NAMES, Place
from tests.shop import Shop, eventually, open_shop
from tradepost.gateway import lag

RELAY_LAG = re.compile(r'^tradepost_consumer_lag_events\{group="relay",source="(\w+)"\} 0\.0$', re.M)
DEAD = 'tradepost_dead_letters{group="shipping",source="broker"} 1.0'


async def metrics(shop: Shop) -> str:
    page: Any = await shop.public.get("/metrics")
    return str(page.body.decode())


async def junk(url: str) -> None:
    """A message that is no event, to shipping."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), "shipping_queue")


async def lags(place: Place, database_url: str) -> list[Any]:
    told = await place.call(database_url, "log", "lag", "--json")
    return [msgspec.json.decode(line) for line in told.out.splitlines() if line.startswith("{")]


async def test_an_operator_sees_who_is_behind_and_what_died_and_sends_it_back(
    database_url: str, tmp_path: Path, rabbitmq_vhost_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "FRESH_S", 0.0)
    monkeypatch.setattr(lag, "DEAD_FRESH_S", 0.0)
    place = Place("rabbitmq", rabbitmq_vhost_url)
    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        await shop.product("MUG-1", stock=5)
        placed = await shop.buy(shop.staff, "MUG-1", guest={"email": "a@b.cd", "name": "A"})
        waited = await place.call(database_url, "log", "lag", "--wait", "60")
        assert (waited.code, waited.err) == (0, "")

        rows = await eventually(lambda: lags(place, database_url), lambda rows: not any(one["events"] for one in rows))
        assert {one["source"] for one in rows if one["group"] == "relay"} == set(NAMES)
        assert {one["how"] for one in rows if one["group"] != "relay"} == {"rabbitmq"}
        assert [(one["events"], one["stands"], one["processes"]) for one in rows] == [(0, True, 1)] * len(rows)
        told = await place.call(database_url, "events", "trace", placed.json["number"])
        assert (told.out.count("order.paid"), told.out.count("yet to take it in")) == (1, 0)

        await junk(place.address)
        await eventually(lambda: metrics(shop), lambda page: DEAD in page)
        assert set(RELAY_LAG.findall(await metrics(shop))) == set(NAMES)
        # the shop's own log may come in between
        assert "shipping: 1" in (await place.call(database_url, "log", "dead")).out.splitlines()
        assert (
            "shipping: 1 sent back" in (await place.call(database_url, "log", "redrive", "shipping")).out.splitlines()
        )
        assert (await place.call(database_url, "log", "redrive", "payment")).code == 1
        assert (await place.call(database_url, "log", "switch")).code == 1
    back = await place.call(database_url, "log", "switch")
    assert (back.code, back.out.startswith("by the log again: inventory, notification, order")) == (0, True), back.err
    async with open_shop(database_url, tmp_path) as again:
        assert (await again.buy(again.staff, "MUG-1", guest={"email": "a@b.cd", "name": "A"})).json["status"] == "paid"
