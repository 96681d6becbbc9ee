"""Inventory over HTTP."""

from typing import Final

from tradepost.kernel.http.endpoint import Endpoint, Idempotency, get, post, put, staff
from tradepost.services.inventory.api.movements import list_movements, move
from tradepost.services.inventory.api.stock import list_alerts, list_stock, read_stock, set_sellable, set_threshold
from tradepost.services.inventory.api.sync import sync

READ: Final = staff("inventory:read")
WRITE: Final = staff("inventory:write")

endpoints: Final[tuple[Endpoint, ...]] = (
    get("/inventory/stock", list_stock, access=READ),
    get("/inventory/stock/{sku}", read_stock, access=READ),
    put("/inventory/stock/{sku}/threshold", set_threshold, access=WRITE),
    put("/product/products/{product_id}/stock", set_sellable, access=WRITE, served_by="inventory"),
    post("/inventory/movements", move, access=WRITE, status=201),
    get("/inventory/movements", list_movements, access=READ),
    post("/inventory/sync", sync, access=WRITE, idempotency=Idempotency.PARTS),
    get("/inventory/alerts", list_alerts, access=READ),
)
