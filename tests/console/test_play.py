"""Playing invoices against a server that fails on purpose."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.console.order_log import HEADER, LOG
from tests.console.shop_double import Double, refused, served, told
from tradepost.console.simulate.client import Client, ServerGone, open_client
from tradepost.console.simulate.journal import open_journal
from tradepost.console.simulate.log import parse
from tradepost.console.simulate.play import Outcomes, Play

ORDERS = "/order/orders"
ONE = HEADER + "7,MUG,RED MUG,1,2010-12-01 09:00:00,2.10,,EIRE"
IDS = {"17850": "user-1", "13047": "user-2"}


@asynccontextmanager
async def _client(double: Double, journal: Path | None = None) -> AsyncIterator[Client]:
    async with served(double), open_journal(journal) as open_, open_client(double.instance, open_, 8) as client:
        yield client


async def _play(client: Client, log: str, players: int = 8, rate: float | None = None) -> Outcomes:
    play = Play(client, IDS, "run")
    return await play.play(parse(log.splitlines()).invoices, players, rate, lambda _: None)


def _placed(count: int) -> web.Response:
    return told(201, order_id=f"order-{count}", status="pending", total_amount=100, currency="GBP")


async def test_each_invoice_becomes_an_order_on_the_customers_behalf_or_for_a_guest() -> None:
    double = Double(replies={ORDERS: _placed, f"{ORDERS}/order-0/returns": lambda _: refused(409, "not_shipped")})
    async with _client(double) as client:
        outcomes = await _play(client, LOG, players=1)

    orders = {key: body for path, key, body in double.calls if path == ORDERS}
    assert orders["run-100-0"]["user_id"] == "user-1"
    assert orders["run-100-0"]["items"] == [
        {"sku": "MUG", "quantity": 6},
        {"sku": "MUG", "quantity": 4},
        {"sku": "mug", "quantity": 1},
    ]
    assert orders["run-101-0"]["shipping_address"]["country"] == "FR"
    assert orders["run-102-0"]["guest"] == {"email": "guest-102@simulated.example", "name": "Guest of invoice 102"}
    assert outcomes.order_ids == {"order-0", "order-1", "order-2"}
    assert outcomes.refused_cancellations == {"not_shipped": 1}


async def test_a_lost_answer_and_a_busy_server_are_asked_again_under_the_same_key(tmp_path: Path) -> None:
    answers = [None, refused(503, "unavailable", "0"), refused(429, "rate_limited", "0"), _placed(3)]
    double = Double(replies={ORDERS: lambda count: answers[count]})
    async with _client(double, tmp_path / "journal") as client:
        outcomes = await _play(client, ONE)

    assert [key for _, key, _ in double.calls] == ["run-7-0"] * 4
    assert len({str(body) for _, _, body in double.calls}) == 1
    assert (outcomes.order_ids, client.retries) == ({"order-3"}, 3)


async def test_the_journal_holds_each_request_and_what_became_of_it(tmp_path: Path) -> None:
    double = Double(replies={ORDERS: lambda count: _placed(count) if count else refused(503, "overloaded", "0")})
    async with _client(double, tmp_path / "journal") as client:
        await _play(client, ONE)

    asked, lost, answered = [msgspec.json.decode(line) for line in (tmp_path / "journal").read_bytes().splitlines()]
    assert (asked["n"], asked["method"], asked["path"], asked["key"]) == (1, "POST", ORDERS, "run-7-0")
    assert asked["body"]["items"] == [{"sku": "MUG", "quantity": 1}]
    assert (lost["n"], lost["lost"]) == (1, "overloaded")
    assert {name: answered[name] for name in ("n", "status", "order_id", "total_amount", "state")} == {
        "n": 1,
        "status": 201,
        "order_id": "order-1",
        "total_amount": 100,
        "state": "pending",
    }


async def test_a_request_is_in_the_journal_before_it_is_sent(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(count: int) -> web.Response:
        seen.append((tmp_path / "journal").read_text())
        return _placed(count)

    async with _client(Double(replies={ORDERS: look}), tmp_path / "journal") as client:
        await _play(client, ONE)

    assert '"key":"run-7-0"' in seen[0]


async def test_without_any_outcome_the_order_is_counted_as_such() -> None:
    double = Double(replies={ORDERS: lambda _: refused(500, "internal_error")})
    async with _client(double) as client:
        client.patience_s = 0.2
        outcomes = await _play(client, ONE)

    assert (outcomes.refused_orders, outcomes.order_ids) == ({"no_outcome": 1}, set())


async def test_the_play_ends_when_the_server_is_gone() -> None:
    double = Double(replies={ORDERS: lambda _: None})
    async with _client(double) as client:
        client.patience_s = 0.2
        with pytest.raises(ServerGone, match="under run-7-0"):
            await _play(client, ONE)


async def test_a_refused_order_is_counted_by_its_code_and_never_cancelled() -> None:
    double = Double(replies={ORDERS: lambda _: refused(422, "unknown_product")})
    async with _client(double) as client:
        outcomes = await _play(client, LOG)

    assert outcomes.refused_orders == {"unknown_product": 3}
    assert (set(double.paths()), outcomes.unmatched_units) == ({ORDERS}, 10)


WHOLE = HEADER + (
    "1,MUG,RED MUG,2,2010-12-01 08:00:00,2.50,17850,France\nC2,MUG,RED MUG,-2,2010-12-01 09:00:00,2.50,17850,France\n"
)


async def test_a_cancellation_of_a_whole_order_cancels_it_after_its_answer() -> None:
    double = Double(replies={ORDERS: _placed, f"{ORDERS}/order-0/cancel": lambda _: told(200)}, pause_s=0.02)
    async with _client(double) as client:
        outcomes = await _play(client, WHOLE)

    assert double.paths() == [ORDERS, f"{ORDERS}/order-0/cancel"]
    assert (outcomes.cancelled, outcomes.returned, double.most_inside) == (1, 0, 1)


async def test_what_was_shipped_already_comes_back_as_a_return() -> None:
    replies: dict[str, Any] = {
        ORDERS: _placed,
        f"{ORDERS}/order-0/cancel": lambda _: refused(409, "already_shipped"),
        f"{ORDERS}/order-0/returns": lambda _: told(201, return_id="return-1"),
        "/order/returns/return-1/receive": lambda _: told(200, return_id="return-1"),
    }
    double = Double(replies=replies)
    async with _client(double) as client:
        outcomes = await _play(client, WHOLE)

    assert double.paths() == list(replies)
    assert double.calls[2][2] == {"items": [{"sku": "MUG", "quantity": 2}], "reason": "invoice C2"}
    assert (outcomes.cancelled, outcomes.returned, outcomes.refused_cancellations) == (0, 1, {})


async def test_an_invoice_of_more_than_500_lines_becomes_several_orders() -> None:
    lines = "".join(f"9,SKU-{at},THING,1,2010-12-01 08:00:00,2.50,17850,France\n" for at in range(1_001))
    double = Double(replies={ORDERS: _placed})
    async with _client(double) as client:
        await _play(client, HEADER + lines)

    assert [(key, len(body["items"])) for _, key, body in double.calls] == [
        ("run-9-0", 500),
        ("run-9-1", 500),
        ("run-9-2", 1),
    ]


async def test_different_customers_are_served_at_once_and_a_rate_spreads_the_starts() -> None:
    lines = [f"{at},MUG,MUG,1,2010-12-01 08:00:00,2.50,,France\n" for at in range(20)]
    full, prompt = Double(replies={ORDERS: _placed}, gathers=8), Double(replies={ORDERS: _placed})
    async with _client(full) as client:
        await _play(client, HEADER + "".join(lines[:9]))
    async with _client(prompt) as client:
        paced = await _play(client, HEADER + "".join(lines), rate=50)

    assert full.most_inside == 8
    assert paced.seconds >= 19 / 50
