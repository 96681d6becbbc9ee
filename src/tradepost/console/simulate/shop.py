"""Setting up the shop of the log: its products with their stock, its customers, until everything can be ordered."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, Final

from tradepost.console.instance import InstanceError
from tradepost.console.simulate import bodies
from tradepost.console.simulate.client import Client
from tradepost.console.simulate.log import OrderLog, Product
from tradepost.console.upload import send_file

ORDERABLE_S: Final = 300.0  # after the import
LOOK_S: Final = 0.2
NOT_YET: Final = frozenset({"not_yet_available", "unknown_product"})
BUSY: Final = frozenset({429, 503})
CAN_BE_ORDERED: Final = "price_changed"


async def set_up(client: Client, log: OrderLog, stock_factor: float) -> Mapping[str, str]:
    """The ids of the log's customers. Errors: InstanceError."""
    products = log.products
    await _import_products(client, products, stock_factor)
    user_ids = await _import_customers(client, log.customers)
    await _wait_for(client, [product.sku for product in products])
    return user_ids


async def _import_products(client: Client, products: Sequence[Product], stock_factor: float) -> None:
    file = _pieces(bodies.product_file(products, stock_factor))
    query = {"currency": bodies.CURRENCY}
    async for line in send_file(client.session, client.instance, "/product/imports", "text/csv", file, query):
        if line.get("kind") == "rejection":
            raise InstanceError(f"the products could not be imported: {_rejection(line)}")


async def _pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _import_customers(client: Client, names: Sequence[str]) -> Mapping[str, str]:
    by_email = {bodies.email_of(name): name for name in names}
    found: dict[str, str] = {}
    content, kind = bodies.customers(names), "application/x-ndjson"
    async for line in send_file(client.session, client.instance, "/user/imports", kind, content):
        if line.get("status") == "rejected":
            raise InstanceError(f"a customer could not be imported: {_rejection(line)}")
        if "user_id" in line:
            found[by_email[line["email"]]] = line["user_id"]
    return found


async def _wait_for(client: Client, skus: Sequence[str]) -> None:
    """Ask for all of them until each can be ordered. Errors: InstanceError when the time is up, NoOutcome."""
    until = monotonic() + ORDERABLE_S
    for start in range(0, len(skus), bodies.LINES):
        question = bodies.question(skus[start : start + bodies.LINES])
        while (answer := await client.ask(question)).told.error != CAN_BE_ORDERED:
            if answer.told.error not in NOT_YET and answer.status not in BUSY:
                raise InstanceError(f"the products can't be ordered: {answer.status} {answer.told.detail}")
            if monotonic() > until:
                raise InstanceError(f"after {ORDERABLE_S:.0f} s a product can't be ordered: {answer.told.detail}")
            await asyncio.sleep(LOOK_S)


def _rejection(line: Mapping[str, Any]) -> str:
    return f"line {line.get('line')}: {line.get('reason')} {line.get('detail') or ''}".strip()
