"""A whole shop on each broker: what plain clients see of it, and how it goes on when the broker has lost everything."""

import re
import subprocess
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from brokers.node import Node
from tests.brokers import vhosts
from tests.brokers.place import Place
from tests.console.order_log import invoices
from tests.contracts.schemas import validate
from tests.mail import mail_server
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.shop import eventually, open_shop
from tests.story import TYPES, tell_everything
from tests.system.test_up import TRADEPOST, environment
from tradepost.console.audit import audit
from tradepost.console.instance import NAMES
from tradepost.gateway import lag

GUEST = {"guest": {"email": "a@b.cd", "name": "A"}}


@pytest.fixture(params=["rabbitmq_vhost_url", "own_kafka"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    found: str | Node = request.getfixturevalue(request.param)
    if isinstance(found, str):
        rabbitmq = Place("rabbitmq", found)
        yield rabbitmq
        if rabbitmq.address != found:
            vhosts.drop(rabbitmq.address)
    else:
        kafka = Place("kafka", found.address)
        await kafka.broker().reset()
        yield kafka


async def test_every_event_is_seen_by_a_plain_client_and_fits_its_published_schema(
    database_url: str, tmp_path: Path, place: Place
) -> None:
    with mail_server() as (_, smtp_url):
        async with (
            open_shop(database_url, tmp_path, broker=place.broker(), smtp_url=smtp_url) as shop,
            place.heard() as got,
        ):
            await tell_everything(shop)

            async def seen() -> set[str]:
                return {validate(body) for body in got}

            await eventually(seen, lambda types: types == TYPES, PATIENCE_S)
            assert await shop.parked() == []


async def test_what_is_no_event_is_passed_over_and_counted(
    database_url: str, tmp_path: Path, own_kafka: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "FRESH_S", 0.0)
    place = Place("kafka", own_kafka.address)
    await place.broker().reset()
    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        await shop.product("MUG-1", stock=5)
        async with AIOKafkaProducer(bootstrap_servers=place.address) as producer:
            await producer.send_and_wait("order_events", b"{}")

        async def page() -> str:
            return str((await shop.public.get("/metrics")).body.decode())

        await eventually(page, re.compile(r'^tradepost_not_events_total\{topic="order_events"\} [1-9]', re.M).search)
        assert 'tradepost_not_events_total{topic="user_events"} 0.0' in await page()
        assert (await shop.buy(shop.staff, "MUG-1", 1, **GUEST)).json["status"] == "paid"


def run(variables: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    command = [TRADEPOST, *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=3 * PATIENCE_S, check=False)


def test_up_sells_over_a_broker(tmp_path: Path, place: Place) -> None:
    log = tmp_path / "log.csv"
    log.write_text("".join(islice(invoices(), 61)))
    ours = environment(tmp_path / "data", free_port(), TRADEPOST_RATE_LIMITS="off", **place.settings)
    with subprocess.Popen([TRADEPOST, "up"], env=ours, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("Ctrl-C") for line in process.stdout)
        played = run(ours, "simulate", str(log), "--journal", str(tmp_path / "journal"))
        told = run(ours, "log", "lag", "--json")
        process.terminate()
    assert played.returncode == 0, played.stdout + played.stderr
    assert "audit: clean" in played.stdout
    rows = [msgspec.json.decode(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert {row["how"] for row in rows if row["group"] != "relay"} == {place.kind}


async def waits_for_relay(place: Place, database_url: str) -> int:
    """Events that are in the log and not in the broker yet."""
    told = await place.call(database_url, "log", "lag", "--json")
    rows = [msgspec.json.decode(line) for line in told.out.splitlines() if line.startswith("{")]
    return sum(row["events"] for row in rows if row["group"] == "relay")


async def test_an_event_that_the_broker_has_lost_comes_from_the_log(
    database_url: str, tmp_path: Path, place: Place
) -> None:
    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        await shop.product("MUG-1", stock=5)
        assert (await place.call(database_url, "log", "lag", "--wait", "60")).code == 0
    async with open_shop(database_url, tmp_path, broker=place.broker(), without="inventory") as shop:
        placed = await shop.staff.post("/order/orders", {"items": [{"sku": "MUG-1", "quantity": 2}], **GUEST})
        assert placed.status == 201, placed.json
        await eventually(lambda: waits_for_relay(place, database_url), lambda events: events == 0)
    await place.lose_everything()

    recovered = await place.call(database_url, "log", "recover")
    assert recovered.code == 0, recovered.err
    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        await shop.order_becomes(placed.json["order_id"], "paid")
        on_hand, held = await shop.stock("MUG-1")
        assert on_hand - held == 3
        waited = await place.call(database_url, "log", "lag", "--wait", "60")
        assert (waited.code, waited.err) == (0, "")
        assert (await shop.buy(shop.staff, "MUG-1", 1, **GUEST)).json["status"] == "paid"
        assert await shop.parked() == []


async def test_a_cancellation_that_is_brought_before_what_the_broker_has_lost_is_not_forgotten(
    database_url: str, superuser: Any, tmp_path: Path, rabbitmq_vhost_url: str
) -> None:
    """Not over Kafka: there a group that lacks a record stops."""
    place = Place("rabbitmq", rabbitmq_vhost_url)
    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        await shop.product("MUG-1", stock=5)
    async with open_shop(database_url, tmp_path, broker=place.broker(), without="payment") as shop:
        placed = await shop.staff.post("/order/orders", {"items": [{"sku": "MUG-1", "quantity": 2}], **GUEST})
        order_id = placed.json["order_id"]
        await shop.order_becomes(order_id, "reserved")
        await eventually(lambda: waits_for_relay(place, database_url), lambda events: events == 0)
    await place.lose_everything()

    async with open_shop(database_url, tmp_path, broker=place.broker()) as shop:
        asked = await shop.staff.post(f"/order/orders/{order_id}/cancel", {})
        assert (asked.status, asked.json["status"]) == (200, "cancelled")
        count = "SELECT count(*) FROM payment.overtaken_order"
        await eventually(lambda: superuser.fetchval(count), lambda remembered: remembered == 1)
        assert await shop.payments(order_id) == []
        assert (await place.call(database_url, "log", "recover")).code == 0
        await eventually(shop.seen, lambda seen: seen["payment.voided"] == 1)

        assert [(p["status"], p["captured"]) for p in await shop.payments(order_id)] == [("voided", 0)]
        assert await shop.stock("MUG-1") == (5, 0)
        lines: list[str] = []
        code = await audit(dict.fromkeys(NAMES, database_url), journal=None, wait_s=PATIENCE_S, echo=lines.append)
        assert code == 0, lines
    vhosts.drop(place.address)
