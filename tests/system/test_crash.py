"""`kill -9` of the application, of PostgreSQL, and of both, under load: what was answered is there, once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.system.test_up import TRADEPOST, environment
from tradepost.console.instance import staff_token
from tradepost.kernel.ids import new_id
from tradepost.kernel.postgres import find_running

ROUNDS: Final = ("application", "postgres", "both", "application", "postgres") * 2
ORDERS_AFTER: Final = 50
BUYERS: Final = 8
SKUS: Final = ("MUG-1", "CUP-2", "JAR-3")


@dataclass
class Journal:
    """What was answered 2xx: the order's id by the key that it was asked for with."""

    orders: dict[str, tuple[str, int]] = field(default_factory=dict)
    since_crash: int = 0


@dataclass
class Instance:
    """A shop that is killed and started again on the same data."""

    data: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        log = (self.data.parent / "log").open("ab")
        self.process = subprocess.Popen(
            [TRADEPOST, "up"],
            env=environment(self.data, self.port, TRADEPOST_RATE_LIMITS="off", TRADEPOST_CARRIER_PACE="0,0"),
            stdout=log,
            stderr=log,
        )

    def kill(self, what: str) -> None:
        """No warning, no clean-up."""
        if what in ("postgres", "both"):
            os.kill(int((self.data / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        if what in ("application", "both"):
            assert self.process is not None
            self.process.kill()
            self.process.wait()
            self.start()

    async def ready(self, http: aiohttp.ClientSession, seconds: float) -> float:
        """Until it answers that it is healthy; how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with http.get("/health", timeout=aiohttp.ClientTimeout(total=2)) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            await asyncio.sleep(0.05)
        log = (self.data.parent / "log").read_text()[-3000:]
        raise AssertionError(f"not back within {seconds} s:\n{log}")

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=PATIENCE_S) == 0


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[tuple[Instance, aiohttp.ClientSession]]:
    instance = Instance(data, free_port())
    instance.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{instance.port}") as http:
            await instance.ready(http, PATIENCE_S)
            yield instance, http
    finally:
        if instance.process is not None and instance.process.poll() is None:
            instance.process.send_signal(signal.SIGINT)
            try:
                instance.process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                instance.process.kill()


def headers(data: Path, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {staff_token(data)}", **more}


async def buy(http: aiohttp.ClientSession, data: Path, journal: Journal, sku: str) -> None:
    """One order, asked for with one key until there is an answer."""
    key = new_id()
    body = {"items": [{"sku": sku, "quantity": 1}], "guest": {"email": f"{key}@example.com", "name": "A Guest"}}
    while True:
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            request = http.post(
                "/order/orders",
                json=body,
                headers=headers(data, **{"Idempotency-Key": key}),
                timeout=aiohttp.ClientTimeout(total=20),
            )
            async with request as answer:
                told = await answer.json(content_type=None)
                if answer.status == 201:
                    journal.orders[key] = (told["order_id"], told["total_amount"])
                    journal.since_crash += 1
                    return
                assert answer.status >= 500 or told["error"] == "request_in_flight", told
        await asyncio.sleep(0.05)


async def keep_buying(http: aiohttp.ClientSession, data: Path, journal: Journal, end: asyncio.Event) -> None:
    while not end.is_set():
        await buy(http, data, journal, random.choice(SKUS))


async def make_products(http: aiohttp.ClientSession, data: Path) -> None:
    for sku in SKUS:
        body = {"name": sku, "price": 500, "currency": "USD", "stock": 1_000_000, "sku": sku}
        async with http.post("/product/products", json=body, headers=headers(data, Prefer="wait=20")) as answer:
            assert answer.status == 201, await answer.text()


async def settled(data: Path) -> None:
    """Until no order is on its way any more."""
    url = find_running(data)
    assert url is not None
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await connection.fetchval(
                """SELECT count(*) FROM "order".orders WHERE status NOT IN ('completed', 'cancelled')"""
            ):
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def stored(data: Path) -> dict[str, int]:
    url = find_running(data)
    assert url is not None
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch('SELECT id::text AS id, total_amount FROM "order".orders')
        return {row["id"]: row["total_amount"] for row in rows}
    finally:
        await connection.close()


async def test_ten_kills_under_load_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    data, journal, end = tmp_path / "data", Journal(), asyncio.Event()
    async with running(data) as (instance, http):
        await make_products(http, data)
        buyers = [asyncio.create_task(keep_buying(http, data, journal, end)) for _ in range(BUYERS)]
        for what in ROUNDS:
            await asyncio.sleep(random.uniform(0.2, 1.0))
            instance.kill(what)
            await asyncio.sleep(0.2)
            await instance.ready(http, PATIENCE_S)
            journal.since_crash = 0
            async with asyncio.timeout(PATIENCE_S):
                while journal.since_crash < ORDERS_AFTER:
                    assert not any(buyer.done() for buyer in buyers), [b.exception() for b in buyers if b.done()]
                    await asyncio.sleep(0.05)
        end.set()
        await asyncio.gather(*buyers)
        await settled(data)
        there = await stored(data)
        audit = await asyncio.create_subprocess_exec(
            TRADEPOST, "audit", env=environment(data, instance.port), stdout=-1, stderr=subprocess.STDOUT
        )
        told, _ = await audit.communicate()

    answered = list(journal.orders.values())
    assert len(answered) >= len(ROUNDS) * ORDERS_AFTER
    assert len({order_id for order_id, _ in answered}) == len(answered)
    assert {order_id: there.get(order_id) for order_id, _ in answered} == dict(answered)
    assert set(there) == {order_id for order_id, _ in answered}
    assert audit.returncode == 0, told.decode()
    sys.stdout.write(f"{len(answered)} orders through {len(ROUNDS)} kills\n")
