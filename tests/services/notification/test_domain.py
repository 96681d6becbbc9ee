"""Who is told on which channel, the ids of deliveries, and when to give up."""

from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.events import Cause
from tradepost.kernel.ids import is_id, new_id
from tradepost.services.notification.domain import (
    BACK_OFF_S,
    CHANNELS,
    TRIES,
    Channel,
    Contact,
    Notice,
    NotResendable,
    Outcome,
    Status,
    check_resendable,
    decide,
    delivery_id,
    drafts_of,
    is_staff,
    message_id,
)

USER = new_id()
WITH_PHONE = Contact("ada@example.com", "Ada", "+4912345")
WITHOUT = Contact("ada@example.com", "Ada")


def notice(template: str, contact: Contact | None = None) -> Notice:
    return Notice(new_id(), template, {}, Cause("story"), user_id=USER, contact=contact)


@given(st.uuids(), st.uuids(), st.sampled_from(Channel), st.text(max_size=20))
def test_a_delivery_has_one_id_and_shares_it_with_no_other(one: UUID, two: UUID, channel: Channel, to: str) -> None:
    made = delivery_id(str(one), channel, to)
    assert is_id(made)
    assert made == delivery_id(str(one), channel, to)
    other = Channel.SMS if channel is Channel.EMAIL else Channel.EMAIL
    others = {delivery_id(str(one), other, to), delivery_id(str(one), channel, to + "x")}
    assert made not in others | ({delivery_id(str(two), channel, to)} if one != two else set())


@given(st.uuids(), st.sampled_from(Channel), st.text(max_size=20))
def test_the_id_of_a_delivery_is_half_its_event_and_half_a_hash(one: UUID, channel: Channel, to: str) -> None:
    chance = int.from_bytes(sha256(f"{one} {channel} {to}".encode()).digest()[:8], "big") % (1 << 62)
    assert delivery_id(str(one), channel, to) == str(UUID(int=one.int >> 64 << 64 | 0b10 << 62 | chance))


def test_the_id_of_a_delivery_is_as_old_as_its_event() -> None:
    events = [new_id() for _ in range(50)]
    made = [UUID(delivery_id(one, Channel.EMAIL, "buyer")) for one in events]
    assert {one.version for one in made} == {7}
    assert [one.int >> 80 for one in made] == [UUID(one).int >> 80 for one in events]


@pytest.mark.parametrize(
    ("template", "contact", "channels"),
    [
        ("order_shipped", WITH_PHONE, ["email", "sms"]),
        ("order_completed", WITH_PHONE, ["email", "sms"]),
        ("order_shipped", WITHOUT, ["email"]),
        ("order_created", WITH_PHONE, ["email"]),
        ("payment_refunded", WITH_PHONE, ["email"]),
    ],
)
def test_sms_tell_of_shipping_and_delivery_to_who_has_a_phone(
    template: str, contact: Contact, channels: list[str]
) -> None:
    assert [draft.channel for draft in drafts_of(notice(template), {USER: contact})] == channels
    assert [draft.channel for draft in drafts_of(notice(template, contact), {})] == channels


def test_who_is_not_known_is_waited_for_and_who_was_erased_is_told_nothing() -> None:
    waiting = list(drafts_of(notice("order_shipped"), {}))
    assert [(draft.channel, draft.contact, draft.address) for draft in waiting] == [
        ("email", None, None),
        ("sms", None, None),
    ]
    assert list(drafts_of(notice("order_shipped"), {USER: None})) == []


def test_a_message_is_tried_eight_times_with_growing_pauses() -> None:
    outcomes = [decide(attempt, "busy", for_good=False) for attempt in range(1, TRIES + 1)]
    assert [one.retry_s for one in outcomes[:-1]] == list(BACK_OFF_S)
    assert outcomes[-1] == Outcome(Status.FAILED, "busy")
    assert decide(1, "no such user", for_good=True) == Outcome(Status.FAILED, "no such user")
    assert decide(TRIES, None, for_good=False) == Outcome(Status.SENT)


def test_a_message_keeps_its_id_at_every_try_and_gets_another_when_sent_again() -> None:
    assert message_id("d", 0, "shop.test") == "<d@shop.test>"
    assert message_id("d", 1, "shop.test") == "<d.1@shop.test>"


@pytest.mark.parametrize(
    ("status", "address", "code"),
    [
        (Status.WAITING, None, "delivery_waiting"),
        (Status.PENDING, "a@b", "delivery_pending"),
        (Status.SENT, None, "recipient_erased"),
    ],
)
def test_only_what_is_done_can_be_sent_again(status: Status, address: str | None, code: str) -> None:
    with pytest.raises(NotResendable) as refused:
        check_resendable(status, address)
    assert refused.value.error == code
    check_resendable(Status.FAILED, "a@b")
    check_resendable(Status.SENT, "a@b")


def test_staff_and_administrators_are_staff() -> None:
    assert [is_staff(roles) for roles in ((), ("customer",), ("customer", "staff"), ("admin",))] == [
        False,
        False,
        True,
        True,
    ]


def test_every_template_goes_by_e_mail() -> None:
    assert all(channels[0] is Channel.EMAIL for channels in CHANNELS.values())
