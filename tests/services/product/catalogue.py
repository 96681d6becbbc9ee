"""A catalogue in a test: clients for staff and for everyone, files in and out, and what it published."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from tests.kernel.http.driver import Client, Response
from tradepost.contracts.inventory import InventoryAdjusted, InventoryReserved, StockLine
from tradepost.contracts.order import OrderOfferOpened
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.database import Database
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.http.app import build
from tradepost.kernel.ids import new_id
from tradepost.kernel.keys import load_or_create_keys
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.service import Room
from tradepost.services.product import api, consumers
from tradepost.services.product.desk import open_desk

F = TypeVar("F", bound=Fact)
ISSUER = "http://tradepost.test"
PRODUCTS = "/product/products"
MUG = {"name": "Mug", "price": 1999, "currency": "USD"}


@dataclass
class Catalogue:
    """`staff` may read and write, `everyone` has no token."""

    db: Database
    staff: Client
    everyone: Client

    async def create(self, **fields: Any) -> Any:
        """The answer to a product that was made."""
        response = await self.staff.post(PRODUCTS, {**MUG, **fields})
        assert response.status == 201, response.json
        return response.json

    async def change(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        raw = b"" if body is None else msgspec.json.encode(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.staff.call(method, path, [raw], {"content-type": "application/json", **names})

    async def edit(self, product_id: str, body: Any, **headers: str) -> Response:
        return await self.change("PATCH", f"{PRODUCTS}/{product_id}", body, **headers)

    async def names(self, query: str) -> list[str]:
        """Of the products of a list that everyone sees."""
        response = await self.everyone.get(f"{PRODUCTS}?{query}")
        assert response.status == 200, response.json
        return [product["name"] for product in response.json["data"]]

    async def import_(self, data: bytes, query: str = "", cut: int = 50_000) -> tuple[dict[str, Any], list[Any]]:
        """The summary of an import, and the lines before it."""
        chunks = [data[start : start + cut] for start in range(0, len(data), cut)]
        response = await self.staff.call("POST", f"/product/imports?{query}", chunks, {"content-type": "text/csv"})
        assert response.status == 200, response.json
        *lines, last = [msgspec.json.decode(line) for line in response.body.splitlines()]
        return last["summary"], lines

    async def export(self, query: str = "") -> bytes:
        return (await self.staff.get(f"/product/exports?{query}")).body

    async def events(self) -> list[tuple[str, int]]:
        """Type and sequence of everything on the log."""
        return [(row["type"], row["sequence"]) for row in await self.db.fetch("SELECT * FROM event ORDER BY id")]

    async def last_event(self) -> Any:
        return msgspec.json.decode(await self.db.fetchval("SELECT data FROM event ORDER BY id DESC LIMIT 1"))

    async def hear(self, facts: Sequence[Fact]) -> None:
        """Let the consumers take these facts, in one call per group."""
        stock: list[Event[Any]] = [event(fact) for fact in facts if not isinstance(fact, OrderOfferOpened)]
        offers = [event(fact) for fact in facts if isinstance(fact, OrderOfferOpened)]
        async with self.db.transaction() as tx:
            if stock:
                await consumers.follow_stock(tx, stock)
            if offers:
                await consumers.open_offers(tx, offers)


def event(fact: F) -> Event[F]:
    return Event(
        position=1,
        id=new_id(),
        type=fact.type,
        key=fact.key,
        sequence=1,
        time=datetime.now(UTC),
        correlation_id="test",
        causation_id=None,
        traceparent=None,
        data=fact,
    )


def adjusted(sku: str, available: int, version: int) -> InventoryAdjusted:
    return InventoryAdjusted(
        sku=sku,
        delta=available,
        on_hand=available,
        reserved=0,
        available=available,
        version=version,
        reason="received",
    )


def reserved(*lines: tuple[str, int, int]) -> InventoryReserved:
    """Lines of SKU, available and version."""
    items = tuple(StockLine(sku=sku, quantity=1, available=available, version=n) for sku, available, n in lines)
    return InventoryReserved(order_id=new_id(), items=items)


def opened(product: Any) -> list[OrderOfferOpened]:
    """Order's news about all variants of a product as answered."""
    return [
        OrderOfferOpened(variant_id=variant["id"], product_id=product["id"], sku=variant["sku"])
        for variant in product["variants"]
    ]


@asynccontextmanager
async def open_catalogue(db: Database, keys: Path) -> AsyncIterator[Catalogue]:
    """The service behind its doors."""
    key = load_or_create_keys(keys).current
    token = Signer(key.private_pem, key.kid, ISSUER).issue(
        new_id(), ["staff"], ["product:read", "product:write"], "s", datetime.now(UTC)
    )
    async with open_desk(Room(db, cast(Watch, None), None, keys)) as desk:
        app = build(api.endpoints, desk, db, Verifier({key.kid: key.public}, ISSUER))
        yield Catalogue(db, Client(app, {"authorization": f"Bearer {token}"}), Client(app))
