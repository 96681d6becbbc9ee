"""Exactly one message per event, channel and recipient, in whatever order the facts come."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from tests.services.notification.conftest import Sale, Shop, event, registered
from tradepost.contracts.inventory import InventoryAvailable, InventoryLow
from tradepost.contracts.order import Guest
from tradepost.contracts.user import UserErased, UserUpdated
from tradepost.kernel.ids import new_id
from tradepost.services.notification.repository.deliveries import COPIED

ADA = "ada@example.com"


async def test_a_buyer_hears_of_each_step_once_and_by_sms_of_the_parcel(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(registered(user, phone="+491"))
    await shop.hear(sale.created)
    await shop.hear(sale.paid, sale.shipped, sale.completed)

    assert await shop.told() == [
        ("order_completed", "email", ADA, "sent"),
        ("order_completed", "sms", "+491", "sent"),
        ("order_created", "email", ADA, "sent"),
        ("order_paid", "email", ADA, "sent"),
        ("order_shipped", "email", ADA, "sent"),
        ("order_shipped", "sms", "+491", "sent"),
    ]
    published = await shop.published()
    assert [(kind, sequence) for _, kind, sequence in published] == [("notification.sent", 1)] * 6
    assert {key for key, _, _ in published} == {one.id for one in await shop.deliveries()}
    assert shop.woken == []


async def test_the_fact_of_a_message_names_its_order_and_goes_on_with_its_story(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(registered(user))
    happened = event(sale.paid)
    await shop.handle(happened)

    (row,) = await shop.db.fetch("SELECT data::text, correlation_id, causation_id::text FROM event")
    (delivery,) = await shop.deliveries()
    assert msgspec.json.decode(row["data"]) == {
        "delivery_id": delivery.id,
        "channel": "email",
        "template": "order_paid",
        "order_id": sale.id,
    }
    assert (row["correlation_id"], row["causation_id"]) == (happened.correlation_id, happened.id)
    assert (delivery.event_id, delivery.order_id, delivery.attempts) == (happened.id, sale.id, 1)


async def test_an_event_that_comes_twice_is_told_once(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(registered(user, phone="+491"))
    happened = event(sale.shipped)
    await shop.handle(happened, happened)
    await shop.handle(happened)

    assert len(await shop.deliveries()) == 2
    assert len(await shop.published()) == 2


async def test_a_large_piece_that_was_told_in_part_tells_the_rest(shop: Shop) -> None:
    await shop.hear(registered(user := new_id()))
    happened = [event(Sale(new_id(), user_id=user).paid) for _ in range(COPIED)]
    await shop.handle(happened[7], happened[9])
    await shop.handle(*happened, happened[11])

    ids = [one.id for one in await shop.deliveries()]
    assert len(ids) == COPIED
    assert sorted(await shop.published()) == sorted((one, "notification.sent", 1) for one in ids)


async def test_a_large_piece_waits_for_its_recipients_too(shop: Shop) -> None:
    users = [new_id() for _ in range(COPIED)]
    await shop.hear(*(Sale(new_id(), user_id=user).paid for user in users))
    assert await shop.told() == [("order_paid", "email", None, "waiting")] * COPIED

    await shop.hear(*(registered(user) for user in users))
    assert await shop.told() == [("order_paid", "email", ADA, "sent")] * COPIED
    assert {one.body[:10] for one in await shop.deliveries()} == {"Hello Ada,"}


async def test_a_guest_is_told_at_the_address_of_the_order(shop: Shop) -> None:
    sale = Sale(new_id(), guest=Guest(email="guest@example.com", name="Gus"))
    await shop.hear(sale.created)
    await shop.hear(sale.shipped)
    await shop.hear(sale.refunded)

    assert [to for _, _, to, _ in await shop.told()] == ["guest@example.com"] * 3
    assert all("Hello Gus" in one.body for one in await shop.deliveries())


async def test_a_refund_is_told_with_the_number_of_its_order(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(registered(user))
    await shop.hear(sale.created)
    await shop.hear(sale.refunded, sale.refunded)

    refunds = [one for one in await shop.deliveries() if one.template == "payment_refunded"]
    assert [one.subject for one in refunds] == ["A refund for your order T-1001"] * 2
    assert "refunded 5.00 USD" in refunds[0].body


@pytest.mark.parametrize("was_refunded", [True, False])
async def test_a_refund_that_failed_is_told_to_staff_and_to_the_buyer_who_had_been_told_of_it(
    shop: Shop, was_refunded: bool
) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(registered(user), registered(new_id(), "staff@example.com", roles=("staff",)))
    await shop.hear(sale.created, sale.refunded)
    failed = event(replace(sale.refund_failed, was_refunded=was_refunded))
    await shop.handle(failed, failed)
    await shop.handle(failed)

    told = [(one.template, one.to, one.order_id) for one in await shop.deliveries() if "failed" in one.template]
    alert = ("staff_refund_failed", "staff@example.com", None)
    assert sorted(told) == ([("payment_refund_failed", ADA, sale.id)] if was_refunded else []) + [alert]
    assert all("T-1001" in one.subject for one in await shop.deliveries())


async def test_a_refund_that_failed_is_told_to_staff_before_its_order_is_known(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=new_id())
    await shop.hear(registered(new_id(), "staff@example.com", roles=("staff",)))
    await shop.hear(sale.refund_failed)

    assert await shop.told() == [
        ("payment_refund_failed", "email", None, "waiting"),
        ("staff_refund_failed", "email", "staff@example.com", "sent"),
    ]
    assert [one.subject for one in await shop.deliveries() if one.to] == [f"A refund for order {sale.id} failed"]


async def test_messages_wait_for_the_recipient_and_go_out_once_they_are_known(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(sale.created, sale.shipped)
    assert await shop.told() == [
        ("order_created", "email", None, "waiting"),
        ("order_shipped", "email", None, "waiting"),
        ("order_shipped", "sms", None, "waiting"),
    ]
    assert await shop.published() == []

    await shop.hear(registered(user))
    await shop.hear(registered(user))
    assert await shop.told() == [("order_created", "email", ADA, "sent"), ("order_shipped", "email", ADA, "sent")]
    rows = await shop.db.fetch("SELECT DISTINCT correlation_id FROM event")
    assert [row["correlation_id"] for row in rows] == [f"story of {sale.id}"]


async def test_a_refund_that_comes_before_its_order_waits_for_it_and_then_for_the_buyer(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(sale.refunded)
    assert await shop.told() == [("payment_refunded", "email", None, "waiting")]
    await shop.hear(sale.created)
    assert [status for *_, status in await shop.told()] == ["waiting", "waiting"]
    await shop.hear(registered(user))

    assert await shop.told() == [("order_created", "email", ADA, "sent"), ("payment_refunded", "email", ADA, "sent")]
    assert "T-1001" in (await shop.deliveries())[0].subject


async def test_however_facts_of_several_publishers_race_nothing_waits_for_ever(shop: Shop) -> None:
    sales = [Sale(new_id(), user_id=new_id(), number=f"T-{n}") for n in range(15)]
    for sale in sales:
        await asyncio.gather(
            shop.hear(registered(str(sale.user_id))),
            shop.hear(sale.created, sale.shipped),
            shop.hear(sale.refunded),
        )

    assert [status for *_, status in await shop.told()] == ["sent"] * 45
    assert len(await shop.published()) == 45


async def test_an_update_changes_where_later_messages_go(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(
        registered(user),
        UserUpdated(user_id=user, email="new@example.com", name="Ada", phone="+492"),
    )
    await shop.hear(sale.shipped)

    assert [to for _, _, to, _ in await shop.told()] == ["new@example.com", "+492"]


async def test_stock_alerts_go_to_staff_and_administrators(shop: Shop) -> None:
    await shop.hear(
        registered(new_id()),
        registered(new_id(), "staff@example.com", phone="+493", roles=("customer", "staff")),
        registered(new_id(), "admin@example.com", roles=("admin",)),
    )
    await shop.hear(InventoryLow(sku="MUG-1", available=2, threshold=5))
    await shop.hear(InventoryAvailable(sku="MUG-1", available=9, threshold=5))

    assert await shop.told() == [
        ("inventory_available", "email", "admin@example.com", "sent"),
        ("inventory_available", "email", "staff@example.com", "sent"),
        ("inventory_low", "email", "admin@example.com", "sent"),
        ("inventory_low", "email", "staff@example.com", "sent"),
    ]


async def test_an_alert_with_nobody_to_hear_it_is_no_error(shop: Shop) -> None:
    await shop.hear(InventoryLow(sku="MUG-1", available=2, threshold=5))

    assert await shop.deliveries() == []


async def test_erasure_redacts_the_past_and_silences_the_future(shop: Shop) -> None:
    sale, other = Sale(new_id(), user_id=(user := new_id())), Sale(new_id(), user_id=(bob := new_id()))
    await shop.hear(registered(user, phone="+491", roles=("staff",)), registered(bob, "bob@example.com"))
    await shop.hear(sale.created, other.created)
    await shop.hear(InventoryLow(sku="MUG-1", available=2, threshold=5))
    await shop.hear(UserErased(user_id=user))
    await shop.hear(sale.shipped, sale.refunded, registered(user))

    seen = {(one.template, one.to, one.subject, one.body) for one in await shop.deliveries() if one.to is None}
    assert seen == {("order_created", None, "", ""), ("inventory_low", None, "", "")}
    assert [to for _, _, to, _ in await shop.told() if to] == ["bob@example.com"]
    left = await shop.db.fetchrow("SELECT state, email, name, phone, is_staff FROM contact WHERE user_id = $1", user)
    assert tuple(left.values()) == ("erased", None, None, None, False)  # type: ignore[union-attr]


async def test_what_waits_for_somebody_who_is_erased_fails_and_says_so(shop: Shop) -> None:
    sale = Sale(new_id(), user_id=(user := new_id()))
    await shop.hear(sale.created)
    await shop.hear(UserErased(user_id=user))

    (one,) = await shop.deliveries()
    assert (one.status, one.error, one.to, one.body) == ("failed", "recipient_erased", None, "")
    assert await shop.published() == [(one.id, "notification.failed", 1)]


async def test_a_whole_piece_of_the_log_takes_a_handful_of_statements(shop: Shop) -> None:
    sales = [Sale(new_id(), user_id=new_id()) for _ in range(100)]
    await shop.hear(*(registered(str(sale.user_id)) for sale in sales))
    before = shop.db.statements
    await shop.hear(*(fact for sale in sales for fact in (sale.created, sale.paid, sale.shipped, sale.completed)))

    assert shop.db.statements - before == 4
    assert await shop.db.fetchval("SELECT count(*) FROM delivery WHERE status = 'sent'") == 400
