"""Shipments over HTTP: whose they are, events by hand, webhooks of carriers."""

import base64
import stat
from datetime import timedelta

import msgspec
import pytest
import structlog

from tests.services.shipping.conftest import STAFF, Shop, asked, customer, request
from tradepost.kernel.clock import now
from tradepost.kernel.errors import Conflict, Invalid, Malformed, NotFound, Refusal, Unauthenticated
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.http.openapi import document
from tradepost.kernel.ids import new_id
from tradepost.services.shipping import api, consumers, providers, service
from tradepost.services.shipping.api import Advance, NewTrackingEvent, ShipmentQuery
from tradepost.services.shipping.domain.shipment import Status
from tradepost.services.shipping.queries import ShipmentView


async def add_event(shop: Shop, shipment_id: str, status: Status, **about: str) -> ShipmentView:
    call = request(body=NewTrackingEvent(status=status, **about), shipment_id=shipment_id)  # type: ignore[arg-type]
    async with shop.db.transaction() as tx:
        return await api.add_tracking_event(call, shop.desk, tx)


async def listed(shop: Shop, caller: Caller, **query: object) -> list[ShipmentView]:
    call = request(caller, query=msgspec.convert(query, ShipmentQuery))
    return list((await api.list_shipments(call, shop.desk)).data)


async def test_a_shipment_is_shown_to_its_buyer_and_to_staff_only(shop: Shop) -> None:
    order, alice = new_id(), new_id()
    await shop.pay(order, user_id=alice)
    shipment_id = await shop.shipment_id(order)

    for caller in (customer(alice), STAFF):
        (one,) = await listed(shop, caller, order_id=order)
        assert (one.id, one.order_id, one.status) == (shipment_id, order, Status.PENDING)
        assert [event.status for event in one.events] == [Status.PENDING]
        assert await api.read_shipment(request(caller, shipment_id=shipment_id), shop.desk) == one
    mallory = customer(new_id())
    assert await listed(shop, mallory, order_id=order) == []
    with pytest.raises(NotFound):
        await api.read_shipment(request(mallory, shipment_id=shipment_id), shop.desk)


async def test_the_list_is_paged_newest_first_and_a_customer_sees_their_own(shop: Shop) -> None:
    alice, orders = new_id(), [new_id() for _ in range(5)]
    for order in orders:
        await shop.pay(order, user_id=alice)
    await shop.pay(new_id(), user_id=new_id())

    own = await listed(shop, customer(alice), limit=3)
    assert [one.order_id for one in own] == orders[:1:-1]
    assert [one.order_id for one in await listed(shop, customer(alice), starting_after=own[-1].id)] == orders[1::-1]
    assert [one.order_id for one in await listed(shop, customer(alice), ending_before=own[-1].id)] == orders[:2:-1]
    assert len(await listed(shop, STAFF)) == 6

    assert [one.id for one in await listed(shop, STAFF, order_id=orders[0], limit=1)] == [
        await shop.shipment_id(orders[0])
    ]
    assert await listed(shop, STAFF, order_id=orders[0], starting_after=await shop.shipment_id(orders[0])) == []


async def test_events_by_hand_dispatch_track_and_deliver(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    shipment_id = await shop.shipment_id(order)
    await add_event(shop, shipment_id, Status.PICKED_UP)
    await add_event(shop, shipment_id, Status.IN_TRANSIT, location="Leipzig", description="Sorted")
    seen = await add_event(shop, shipment_id, Status.DELIVERED)

    assert [event.status for event in seen.events] == ["pending", "picked_up", "in_transit", "delivered"]
    assert seen.events[2].location == "Leipzig"
    assert await shop.published(order) == [
        ("shipping.created", 1),
        ("shipping.dispatched", 2),
        ("shipping.tracked", 3),
        ("shipping.delivered", 4),
    ]
    tracked = msgspec.json.decode(await shop.data(order, "shipping.tracked"))
    assert (tracked["status"], tracked["location"], tracked["description"]) == ("in_transit", "Leipzig", "Sorted")


async def test_an_illegal_status_is_refused_and_nothing_happens(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    shipment_id = await shop.shipment_id(order)
    for status in (Status.CANCELLED, Status.PENDING):
        with pytest.raises(Conflict) as refused:
            await add_event(shop, shipment_id, status)
        assert refused.value.error == "illegal_tracking_status"
    with pytest.raises(NotFound):
        await add_event(shop, new_id(), Status.PICKED_UP)

    assert await shop.published(order) == [("shipping.created", 1)]
    assert await shop.status(order) == "pending"


async def test_a_parcel_on_hold_waits_until_somebody_sends_it_on(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    shipment_id = await shop.shipment_id(order)
    await add_event(shop, shipment_id, Status.ON_HOLD)
    asked_at = now()
    async with shop.db.transaction() as tx:
        shown = await api.advance_carrier(request(body=Advance(seconds=900)), shop.desk, tx)
    assert shown.carrier_time >= asked_at + timedelta(seconds=900)
    await shop.carry()
    assert await shop.status(order) == "on_hold"

    await add_event(shop, shipment_id, Status.IN_TRANSIT)
    await shop.carry()
    assert await shop.status(order) == "delivered"


async def webhook(shop: Shop, body: bytes, *, age_s: int = 0, id_: str = "msg_1", secret: bytes | None = None) -> str:
    secret = secret or shop.desk.secrets["local"]
    timestamp = str(int(now().timestamp()) - age_s)
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,bm9wZQ== {providers.sign(secret, id_, timestamp, body)}",
    }
    call = request(None, body=body, headers=headers, carrier="local")
    return (await api.hear_carrier(call, shop.desk)).outcome


async def said(shop: Shop, order: str, status: str) -> bytes:
    number = await shop.db.fetchval("SELECT tracking_number FROM shipment WHERE order_id = $1", order)
    return msgspec.json.encode({"tracking_number": number, "status": status, "at": now(), "weight": 3})


async def test_a_signed_webhook_takes_effect_once(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    body = await said(shop, order, "in_transit")

    assert [await webhook(shop, body), await webhook(shop, body)] == ["recorded", "duplicate"]
    assert [kind for kind, _ in await shop.published(order)] == [
        "shipping.created",
        "shipping.dispatched",
        "shipping.tracked",
    ]
    assert await webhook(shop, await said(shop, order, "delivered"), id_="msg_2") == "recorded"
    assert await webhook(shop, body, id_="msg_3") == "ignored"
    assert await shop.status(order) == "delivered"


async def test_a_parcel_that_the_carrier_has_is_not_stopped(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    assert await webhook(shop, await said(shop, order, "delivery_delayed")) == "recorded"

    await shop.hear(consumers.keep, asked(order))

    assert [kind for kind, _ in await shop.published(order)] == [
        "shipping.created",
        "shipping.dispatched",
        "shipping.tracked",
    ]
    assert await shop.status(order) == "delivery_delayed"


async def test_a_cancelled_parcel_that_moves_is_told_to_staff_and_stays_cancelled(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    await shop.hear(consumers.keep, asked(order))
    before = await shop.published(order)

    with structlog.testing.capture_logs() as logs:
        assert await webhook(shop, await said(shop, order, "delivered")) == "recorded"
        assert await webhook(shop, await said(shop, order, "unknown"), id_="msg_2") == "ignored"

    shipment_id = await shop.shipment_id(order)
    told = {"event": "cancelled_parcel_moves", "order_id": order, "shipment_id": shipment_id, "status": "delivered"}
    assert logs == [{**told, "log_level": "warning"}]
    (seen,) = await listed(shop, STAFF, order_id=order)
    assert (seen.status, [event.status for event in seen.events]) == (
        "cancelled",
        ["pending", "cancelled", "delivered"],
    )
    assert await shop.published(order) == before
    with pytest.raises(Conflict):
        await add_event(shop, shipment_id, Status.DELIVERED)


async def test_a_webhook_that_is_not_the_carriers_is_refused_and_nothing_happens(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    body = await said(shop, order, "delivered")

    for forged in ({"secret": b"guess"}, {"age_s": 301}, {"age_s": -400}):
        with pytest.raises(Unauthenticated) as refused:
            await webhook(shop, body, **forged)
        assert refused.value.error == "invalid_signature"
    with pytest.raises(Malformed):
        await webhook(shop, body, id_="")
    with pytest.raises(NotFound):
        await api.hear_carrier(request(None, body=body, carrier="nobody"), shop.desk)
    assert await shop.status(order) == "pending"
    assert await shop.db.fetchval("SELECT count(*) FROM webhook") == 0


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"{", Malformed),
        (b'{"tracking_number": "TP1", "status": "eaten", "at": "2026-11-23T08:00:00Z"}', Invalid),
        (b'{"tracking_number": "TP1", "status": "delivered", "at": "2026-11-23T08:00:00Z"}', NotFound),
    ],
)
async def test_a_webhook_that_makes_no_sense_can_be_sent_again(shop: Shop, body: bytes, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        await webhook(shop, body)
    assert await shop.db.fetchval("SELECT count(*) FROM webhook") == 0


async def test_the_secret_is_for_our_eyes_only_and_stays(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("data") / "shipping"
    first = providers.load_or_create_secret(folder, "local")
    (file,) = folder.iterdir()

    assert providers.load_or_create_secret(folder, "local") == first
    assert len(first) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("whsec_")


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that the libraries of Standard Webhooks test themselves with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = providers.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_table_of_endpoints_is_sound() -> None:
    paths = document(service.endpoints, "shipping", "1")["paths"]
    assert set(paths) == {
        "/shipping/shipments",
        "/shipping/shipments/{shipment_id}",
        "/shipping/shipments/{shipment_id}/events",
        "/shipping/webhooks/{carrier}",
        "/shipping/carrier/advance",
    }
