"""Order over HTTP: place, read, list, cancel, return, and a stream of states."""

from typing import Final

from tradepost.kernel.http.endpoint import Idempotency, Rate, customer, get, owner_or, post, staff
from tradepost.services.order.api.orders import WRITE, cancel_order, list_orders, place_order, read_order
from tradepost.services.order.api.returns import (
    approve_return,
    list_returns,
    receive_return,
    reject_return,
    request_return,
)
from tradepost.services.order.api.waiting import READ, stream_order

endpoints: Final = (
    post("/order/orders", place_order, access=customer, rate=Rate.CHECKOUT, idempotency=Idempotency.OWN, status=201),
    get("/order/orders", list_orders, access=owner_or(staff(READ))),
    get("/order/orders/{order_id}", read_order, access=owner_or(staff(READ))),
    get("/order/orders/{order_id}/stream", stream_order, access=owner_or(staff(READ))),
    post("/order/orders/{order_id}/cancel", cancel_order, access=owner_or(staff(WRITE))),
    post(
        "/order/orders/{order_id}/returns",
        request_return,
        access=owner_or(staff(WRITE)),
        idempotency=Idempotency.REQUIRED,
        status=201,
    ),
    get("/order/orders/{order_id}/returns", list_returns, access=owner_or(staff(READ))),
    post("/order/returns/{return_id}/approve", approve_return, access=staff(WRITE)),
    post("/order/returns/{return_id}/reject", reject_return, access=staff(WRITE)),
    post("/order/returns/{return_id}/receive", receive_return, access=staff(WRITE)),
)
