"""The whole shop in one process on a database of the test's own, and the calls that the flows are made of."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests import databases
from tests.kernel.http.driver import Client, Response
from tests.patience import PATIENCE_S
from tradepost import settings as setting
from tradepost.contracts import FACTS
from tradepost.gateway.opening import open_gateway
from tradepost.gateway.proxies import Proxies
from tradepost.kernel import runtime
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.brokers.port import Broker
from tradepost.kernel.clock import now
from tradepost.kernel.ids import new_id
from tradepost.kernel.keys import load_or_create_keys
from tradepost.kernel.runtime import Running, Site
from tradepost.main import ISSUER, KEYS, SERVICES

SETTLED: Final = frozenset({"paid", "shipped", "completed", "cancelled"})


class Shop:
    """A running shop. Calls go through the gateway; amounts are minor units of USD."""

    def __init__(self, app: Any, running: Running, signer: Signer, database_url: str) -> None:
        self.app = app
        self.running = running
        self.database_url = database_url
        self._signer = signer
        self.staff = self.client(new_id(), roles=("staff", "admin"))
        self.public = Client(app)

    def client(self, user_id: str, roles: Sequence[str] = ("customer",), permissions: Sequence[str] = ()) -> Client:
        """A caller with a token."""
        token = self._signer.issue(user_id, list(roles), list(permissions), new_id(), now())
        return Client(self.app, {"authorization": f"Bearer {token}"})

    async def product(self, sku: str, stock: int, price: int = 500, **more: Any) -> str:
        """A product with one variant that can be ordered; its id."""
        body = {"name": f"Product {sku}", "price": price, "currency": "USD", "stock": stock, "sku": sku, **more}
        made = await self.staff.post("/product/products", body, prefer="wait=30")
        assert made.status == 201, made.json
        return str(made.json["product_id"])

    async def buy(self, client: Client, sku: str, quantity: int = 1, **more: Any) -> Response:
        """One order of one line, answered when its fate is known."""
        body = {"items": [{"sku": sku, "quantity": quantity}], **more}
        return await client.post("/order/orders", body, prefer="wait=30")

    async def order(self, order_id: str) -> dict[str, Any]:
        read = await self.staff.get(f"/order/orders/{order_id}")
        assert read.status == 200, read.json
        return dict(read.json)

    async def order_becomes(self, order_id: str, status: str) -> dict[str, Any]:
        """The order once it has that status."""
        found: dict[str, Any] = await eventually(lambda: self.order(order_id), lambda order: order["status"] == status)
        return found

    async def stock(self, sku: str) -> tuple[int, int]:
        """On hand and reserved."""
        read = await self.staff.get(f"/inventory/stock/{sku}")
        return read.json["on_hand"], read.json["reserved"]

    async def payments(self, order_id: str) -> list[dict[str, Any]]:
        read = await self.staff.call("GET", f"/payment/payments?order_id={order_id}", [b""])
        return list(read.json["data"])

    async def turn_carrier(self, seconds: float) -> None:
        """Let the carrier's time pass."""
        turned = await self.staff.post("/shipping/carrier/advance", {"seconds": seconds})
        assert turned.status in (200, 204), turned.json

    async def ship(self, order_id: str) -> None:
        """Let the carrier pick up the parcel of the shop's only order."""
        await eventually(self.seen, lambda seen: seen["shipping.created"] == 1)
        await self.turn_carrier(3601)
        await self.order_becomes(order_id, "shipped")

    async def seen(self) -> Counter[str]:
        """How many events of each type lie on the logs."""
        connection = await asyncpg.connect(self.database_url)
        try:
            found: Counter[str] = Counter()
            for publisher in sorted({fact.publisher() for fact in FACTS}):
                rows = await connection.fetch(f'SELECT type, count(*) AS n FROM "{publisher}".event GROUP BY type')
                found.update({row["type"]: row["n"] for row in rows})
            return found
        finally:
            await connection.close()

    async def parked(self) -> list[Any]:
        """What no consumer could digest."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [
                dict(row)
                for service in SERVICES
                for row in await connection.fetch(f'SELECT "group", key, error FROM "{service.name}".parked')
            ]
        finally:
            await connection.close()


async def eventually(look: Any, holds: Any, seconds: float = PATIENCE_S) -> Any:
    """What `look` finds, once `holds` is true of it."""
    found = None
    try:
        async with asyncio.timeout(seconds):
            while not holds(found := await look()):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it never came about: {found}") from None
    return found


@asynccontextmanager
async def open_shop(
    database_url: str,
    data: Path,
    pace: str = "3600,3600",
    apart: Mapping[str, str] | None = None,
    broker: Broker | None = None,
    smtp_url: str = "",
    without: str = "",
    rate_limits: str = "off",
    proxies: Proxies | None = None,
) -> AsyncIterator[Shop]:
    """A shop whose parcels move when the test turns the carrier's clock. The services of `apart` have databases of
    their own. Events go by the log, or by `broker`; mails to the mailbox, or to `smtp_url`. One service may be down.
    `rate_limits` are those of services; the gateway has none."""
    settings = setting.read(
        {
            "TRADEPOST_DATA": str(data),
            "TRADEPOST_CARRIER_PACE": pace,
            "TRADEPOST_RATE_LIMITS": rate_limits,
            "TRADEPOST_SMTP_URL": smtp_url,
        }
    )
    services = [service for service in SERVICES if service.name != without]
    keys = load_or_create_keys(settings.data / KEYS)
    public = {keys.current.kid: keys.current.public}
    site = Site(
        databases={**dict.fromkeys((service.name for service in SERVICES), database_url), **(apart or {})},
        secret=databases.SECRET,
        data=settings.data,
        settings=settings.of_services,
    )
    relays = [service.name for service in services] if broker else ()
    async with runtime.run(services, site, broker=broker, relays=relays) as running:
        opened = open_gateway(services, running, Verifier(public, ISSUER), limited=False, proxies=proxies)
        yield Shop(opened.gateway, running, Signer(keys.current.private_pem, keys.current.kid, ISSUER), database_url)
        opened.stop()
