"""The words of messages."""

import msgspec
import pytest
from jinja2 import UndefinedError
from msgspec.structs import asdict, replace

from tests.services.notification.conftest import Sale
from tradepost.contracts.inventory import InventoryAvailable, InventoryLow
from tradepost.kernel.events import Fact
from tradepost.kernel.ids import new_id
from tradepost.services.notification.domain import CHANNELS, Channel
from tradepost.services.notification.rendering import render

SALE = Sale(new_id(), user_id=new_id())
FACTS: dict[str, Fact] = {
    "order_created": SALE.created,
    "order_paid": SALE.paid,
    "order_shipped": SALE.shipped,
    "order_completed": SALE.completed,
    "order_cancelled": SALE.cancelled,
    "payment_refunded": SALE.refunded,
    "payment_refund_failed": SALE.refund_failed,
    "staff_refund_failed": SALE.refund_failed,
    "inventory_low": InventoryLow(sku="MUG-1", available=2, threshold=5),
    "inventory_available": InventoryAvailable(sku="MUG-1", available=7, threshold=5),
}


@pytest.mark.parametrize(("template", "channel"), [(name, one) for name, all_ in CHANNELS.items() for one in all_])
def test_every_template_can_be_written(template: str, channel: Channel) -> None:
    facts = {"number": "T-1001", **asdict(FACTS[template])}
    subject, body = render(template, channel, facts, "Ada")

    assert ("T-1001" if "number" in FACTS[template].__struct_fields__ else "") in subject + body
    assert "None" not in body
    if channel is Channel.EMAIL:
        assert subject
        assert body.startswith("Hello Ada,\n\n")
        assert "\n\n\n" not in body
    else:
        assert subject == ""
        assert len(body) <= 160
        assert "\n" not in body


def test_the_e_mail_of_an_order_names_its_lines_and_its_total() -> None:
    facts = asdict(SALE.created)
    assert render("order_created", Channel.EMAIL, facts, "Ada") == (
        "Your order T-1001",
        "Hello Ada,\n\nthank you for your order T-1001:\n\n  2 x Mug  19.98 USD\n\nTotal: 19.98 USD\n\n"
        "We write again as soon as it is paid.\n",
    )


@pytest.mark.parametrize(
    ("reason", "paid", "said"),
    [
        ("insufficient_stock", False, "You have not been charged.\n"),
        ("payment_failed", False, "You have not been charged.\n"),
        ("payment_timed_out", False, "If your card was charged meanwhile, the money goes back by itself.\n"),
        ("changed my mind", False, "If your card was charged meanwhile, the money goes back by itself.\n"),
        ("changed my mind", True, "We are refunding what you have paid and write again when it is on its way.\n"),
    ],
)
def test_of_the_money_no_more_is_said_than_was_known(reason: str, paid: bool, said: str) -> None:
    facts = {**asdict(SALE.cancelled), "reason": reason, "paid": paid}
    assert render("order_cancelled", Channel.EMAIL, facts, "Ada")[1].endswith(f"\n\n{said}")


@pytest.mark.parametrize("was_refunded", [True, False])
def test_staff_are_told_what_to_do_about_a_refund_that_failed(was_refunded: bool) -> None:
    fact = replace(SALE.refund_failed, was_refunded=was_refunded)
    subject, body = render("staff_refund_failed", Channel.EMAIL, {"number": "T-1001", **asdict(fact)}, "Ada")

    assert subject == "A refund for order T-1001 failed"
    assert "5.00 USD for order T-1001 could not be refunded: declined by bank.\n" in body
    assert ("The buyer had been told" in body) == was_refunded
    assert f"Send refund {fact.refund_id} once more" in body
    assert "\n\n\n" not in body


def test_currencies_keep_their_own_decimals() -> None:
    facts = {**asdict(SALE.paid), "amount": 1998, "currency": "JPY"}
    assert "received 1998 JPY" in render("order_paid", Channel.EMAIL, facts, "Ada")[1]


def test_what_people_typed_in_stays_on_its_line() -> None:
    facts = {**asdict(SALE.paid), "number": "T\nBcc: x@example.com"}
    subject, body = render("order_paid", Channel.EMAIL, facts, "Ada\n\nYou owe us money {{ amount }}")

    assert subject == "We have your payment for order T Bcc: x@example.com"
    assert body.startswith("Hello Ada You owe us money {{ amount }},\n")


def test_a_message_knows_nothing_of_the_one_before_it() -> None:
    facts = asdict(SALE.paid)
    render("order_paid", Channel.EMAIL, facts, "Ada")

    with pytest.raises(UndefinedError, match="'number' is undefined"):
        render("order_paid", Channel.EMAIL, {name: facts[name] for name in facts if name != "number"}, "Ada")


@pytest.mark.parametrize("template", FACTS)
def test_facts_that_were_kept_as_json_give_the_same_message(template: str) -> None:
    facts = {"number": "T-1001", **asdict(FACTS[template])}
    kept = msgspec.json.decode(msgspec.json.encode(facts))

    assert render(template, Channel.EMAIL, kept, "Ada") == render(template, Channel.EMAIL, facts, "Ada")


@pytest.mark.parametrize(
    "link", ["https://evil.example/win", "evil.example", "//evil", "mail me@evil.example", "www.evil.com"]
)
def test_no_link_goes_along_with_a_name_or_a_reason_that_somebody_chose(link: str) -> None:
    facts = {"number": "T-1001", **asdict(SALE.cancelled), "reason": f"see {link} now"}
    _, body = render("order_cancelled", Channel.EMAIL, facts, f"You won: {link}")

    assert body.startswith("Hello customer,\n\n")
    assert "evil" not in body
    assert "Reason" not in body
    assert "\n\n\n" not in body


@pytest.mark.parametrize("name", ["Ada", "J.R. O'Neil-Smith", "Dr. Zoë Müller", "李小龙", "Ada & Bob, flat 3/4"])
def test_a_name_is_a_name(name: str) -> None:
    facts = {"number": "T-1001", **asdict(SALE.cancelled), "reason": "ordered_twice"}
    _, body = render("order_cancelled", Channel.EMAIL, facts, name)

    assert body.startswith(f"Hello {name},\n\n")
    assert "\n\nReason: ordered twice\n\n" in body
