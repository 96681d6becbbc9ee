"""`tradepost log`: who is behind, what is parked and how it gets on, and how the work is cut."""

import asyncio
import socket
from typing import Final

import msgspec
import pytest

from tests.console import story as stories
from tests.console.calling import tradepost
from tests.console.story import Story

AWAY: Final = "postgresql://nobody@127.0.0.1:1/none"
PLACES = (
    "SELECT first_slot, last_slot FROM \"order\".cursor WHERE \"group\" = 'order' AND source = 'payment' ORDER BY 1"
)


def places(story: Story) -> list[tuple[int, int]]:
    rows = asyncio.run(stories.fetch(story.url, PLACES))
    return [(row["first_slot"], row["last_slot"]) for row in rows]


def parked(story: Story) -> int:
    return len(asyncio.run(stories.fetch(story.url, stories.PARKED)))


def test_at_rest_nobody_is_behind_and_waiting_ends_at_once(story: Story) -> None:
    table = tradepost(story.url, "log", "lag")

    head, *rows = table.out.splitlines()
    assert (table.code, table.err) == (0, "")
    assert head.split()[:3] == ["group", "source", "how"]
    assert len(rows) == 15
    assert {tuple(row.split()[2:]) for row in rows} == {("log", "0", "0.0", "0")}
    assert tradepost(story.url, "log", "lag", "--wait").code == 0


def test_who_is_behind_is_named_when_the_time_is_over(story: Story) -> None:
    stories.done(story.url, stories.ASK_TO_STOP)

    told = tradepost(story.url, "log", "lag", "--json")
    waited = tradepost(story.url, "log", "lag", "--wait", "0.1")

    lag = {(one["group"], one["source"]): one for one in map(msgspec.json.decode, told.out.splitlines())}
    assert {place for place, one in lag.items() if one["events"]} == {("shipping", "order")}
    assert lag["shipping", "order"]["events"] == 1
    assert (waited.code, waited.out) == (1, "")
    assert waited.err == "tradepost: after 0.1 s still behind: shipping on order by 1 events\n"


def test_what_is_parked_is_told_with_its_error(story: Story) -> None:
    told = tradepost(story.url, "log", "parked", "--group", "notification")
    lines = told.out.splitlines()
    (one,) = [msgspec.json.decode(line) for line in tradepost(story.url, "log", "parked", "--json").out.splitlines()]

    assert lines[0].startswith(f"notification {story.order_id}: 1 event of order parked for ")
    assert lines[1].split() == ["order.completed", story.last]
    assert lines[2].startswith("  CheckViolationError: ")
    assert (one["event_id"], one["key"], one["events"], one["type"]) == (
        story.last, story.order_id, 1, "order.completed",
    )  # fmt: skip
    assert tradepost(story.url, "log", "parked", "--group", "shipping").out == "nothing is parked\n"
    assert tradepost(story.url, "log", "parked", "--group", "shiping").code == 2


def test_a_retry_that_fails_again_changes_nothing_and_one_that_does_not_takes_effect(story: Story) -> None:
    again = tradepost(story.url, "log", "retry", "notification", story.order_id)
    assert (again.code, again.out, parked(story)) == (1, "", 1)
    assert "failed again, so nothing was changed: CheckViolationError" in again.err

    stories.done(story.url, stories.HEAL)
    healed = tradepost(story.url, "log", "retry", "--all")

    assert (healed.code, healed.out) == (0, f"notification {story.order_id}: 1 event took effect\n"), healed.err
    assert parked(story) == 0
    sent = "SELECT count(*) AS n FROM notification.delivery WHERE template = 'order_completed' AND status = 'sent'"
    assert asyncio.run(stories.fetch(story.url, sent))[0]["n"] == 1
    assert tradepost(story.url, "log", "retry", "--all").code == 1


def test_a_retry_of_nobody_in_particular_is_refused(story: Story) -> None:
    refused = tradepost(story.url, "log", "retry", "notification")

    assert (refused.code, refused.err, parked(story)) == (2, "tradepost: name a group and a key, or say --all\n", 1)


def test_giving_up_says_what_is_lost_and_wants_to_be_told_twice(story: Story) -> None:
    asked = tradepost(story.url, "log", "drop", "notification", story.order_id)
    assert (asked.code, parked(story)) == (1, 1)
    assert "lost to notification: 1 event; the logs keep them" in asked.out

    given_up = tradepost(story.url, "log", "drop", "notification", story.order_id, "--yes")
    assert (given_up.code, given_up.out.splitlines()[-1]) == (0, f"notification {story.order_id}: 1 event given up")
    assert parked(story) == 0
    assert tradepost(story.url, "log", "drop", "notification", story.order_id, "--yes").code == 1


def test_a_place_is_cut_and_joined_by_hand(story: Story) -> None:
    cut = tradepost(story.url, "log", "split", "order", "payment", "8")
    assert (cut.code, cut.out, places(story)) == (0, "order on payment: slots 0-7 and 8-15\n", [(0, 7), (8, 15)])

    joined = tradepost(story.url, "log", "merge", "order", "payment", "8")
    assert (joined.code, joined.out, places(story)) == (0, "order on payment: slots 0-15\n", [(0, 15)])


def test_a_cut_that_makes_no_sense_is_refused(story: Story) -> None:
    assert tradepost(story.url, "log", "split", "order", "payment", "16").code == 1
    assert tradepost(story.url, "log", "merge", "order", "payment", "8").code == 1
    assert tradepost(story.url, "log", "split", "order", "user", "8").code == 2
    assert places(story) == [(0, 15)]


def test_without_a_broker_there_is_nothing_to_switch_and_no_dead_letter(story: Story) -> None:
    assert tradepost(story.url, "log", "switch").out == "no group is served by a broker: nothing to do\n"
    assert tradepost(story.url, "log", "dead").err == (
        "tradepost: only RabbitMQ keeps dead letters, and TRADEPOST_BROKER is log\n"
    )


def test_a_database_that_is_not_there_is_told_in_one_line() -> None:
    told = tradepost(AWAY, "log", "lag")

    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "tradepost: user, product, inventory, order, payment, shipping, notification: the database none at 127.0.0.1:1 "
        "can't be used: it can't be reached (connection refused); "
        "see TRADEPOST_DATABASE_URL or TRADEPOST_USER_DATABASE_URL\n"
    )


def test_who_can_be_reached_is_shown_and_of_the_others_it_is_said_why(story: Story) -> None:
    away = {"TRADEPOST_SHIPPING_DATABASE_URL": AWAY, "TRADEPOST_USER_DATABASE_URL": AWAY.replace("none", "people")}

    told = tradepost(story.url, "log", "lag", **away)

    places = [tuple(row.split()[:2]) for row in told.out.splitlines()[1:]]
    whole = [tuple(row.split()[:2]) for row in tradepost(story.url, "log", "lag").out.splitlines()[1:]]
    people, parcels = told.err.splitlines()
    assert told.code == 2
    assert people.startswith("tradepost: user: the database people at 127.0.0.1:1 can't be used: it can't be reached")
    assert parcels.startswith("tradepost: shipping: the database none at 127.0.0.1:1 can't be used: ")
    assert parcels.endswith("see TRADEPOST_DATABASE_URL or TRADEPOST_SHIPPING_DATABASE_URL")
    assert places == [
        (group, source) for group, source in whole if not {group.partition(".")[0], source} & {"shipping", "user"}
    ]
    assert len(whole) > len(places) > 0


def test_nobody_is_at_the_end_of_a_log_that_cannot_be_reached(story: Story) -> None:
    waited = tradepost(story.url, "log", "lag", "--wait", "60", TRADEPOST_USER_DATABASE_URL=AWAY)

    assert (waited.code, waited.out) == (2, "")
    assert waited.err.startswith("tradepost: user: the database none at 127.0.0.1:1 can't be used: ")


def test_a_database_that_never_answers_is_given_up(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepost.process.CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/mute"
        for command in ("log parked", "events tail", "events replay product.availability"):
            told = tradepost(story.url, *command.split(), TRADEPOST_PRODUCT_DATABASE_URL=mute)
            assert (told.code, told.out) == (2, "")
            assert told.err.startswith("tradepost: product: the database mute at 127.0.0.1:")
            assert "can't be used: no answer within 0.5 s; see TRADEPOST_DATABASE_URL or TRADEPOST_PRODUCT_" in told.err
