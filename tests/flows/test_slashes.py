"""A SKU as catalogues have them is sold, read and watched like any other."""

import asyncio
from urllib.parse import quote, unquote

import pytest

from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tests.shop import Shop, eventually


async def as_sent(client: Client, method: str, raw: str, body: bytes = b"") -> Response:
    """A call as the server makes one of what it reads: the path decoded, and as it was."""
    headers = {**client.headers, "content-type": "application/json"}
    scoped, response = {**scope(method, unquote(raw), headers), "raw_path": raw.encode()}, Response()
    await client.app(scoped, receiver([body], asyncio.Event()), collector(response))
    return response


@pytest.mark.parametrize("sku", ['1/2"-BOLT', "A\\B/C"])
async def test_its_stock_is_read_and_its_threshold_set(shop: Shop, sku: str) -> None:
    await shop.product(sku, stock=3)
    path = f"/inventory/stock/{quote(sku, safe='')}"
    read = await eventually(lambda: as_sent(shop.staff, "GET", path), lambda answer: answer.status == 200)
    watched = await as_sent(shop.staff, "PUT", f"{path}/threshold", b'{"threshold": 5}')

    assert (read.json["sku"], read.json["available"]) == (sku, 3)
    assert (watched.status, watched.json["threshold"], watched.json["low"]) == (200, 5, True)
