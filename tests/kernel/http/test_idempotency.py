"""The same key and body have the same effect, once, and nothing is kept of what was refused."""

import asyncio
from typing import Any

import pytest

from tests.kernel.http.driver import Response
from tests.kernel.http.shop import ALICE, CONFLICT, ORDER, REFUSAL, Shop
from tests.patience import PATIENCE_S
from tradepost.kernel.database import Database
from tradepost.kernel.errors import Conflict
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.idempotency import Entry
from tradepost.kernel.http.reply import Reply

PAY = "/order/payments"
BODY = {"price": 1}
OTHER = "0193d8a0-0000-7000-8000-000000000b0b"
LOCKED = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@pytest.fixture
def ready(stocked: Shop) -> Shop:
    """A shop whose handler does not wait."""
    stocked.desk.go_on.set()
    return stocked


async def effects(superuser: Any) -> tuple[int, int]:
    """Rows that handlers wrote, and answers stored."""
    written = await superuser.fetchval("SELECT count(*) FROM probe.scribble")
    return written, await superuser.fetchval("SELECT count(*) FROM probe.idempotency")


def told(response: Response) -> dict[str, str]:
    passing = {"x-request-id", "traceparent", "idempotent-replayed"}
    return {name: value for name, value in response.headers.items() if name not in passing}


async def test_a_request_sent_again_is_answered_again_and_has_no_second_effect(ready: Shop, superuser: Any) -> None:
    first = await ready.alice.post(PAY, BODY, idempotency_key="k-1")
    again = await ready.alice.post(PAY, BODY, idempotency_key='"k-1"')

    assert (first.status, first.headers["location"], first.headers["etag"]) == (201, f"/order/{ORDER}", '"7"')
    assert (again.status, again.body, told(again)) == (first.status, first.body, told(first))
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert (ready.desk.calls, await effects(superuser)) == (["pay"], (1, 1))


async def test_another_body_under_the_same_key_is_refused(ready: Shop, superuser: Any) -> None:
    await ready.alice.post(PAY, BODY, idempotency_key="k-1")
    other = await ready.alice.post(PAY, {"price": 2}, idempotency_key="k-1")

    assert (other.error, other.pointers) == ((422, "idempotency_key_reused"), [""])
    assert (ready.desk.calls, await effects(superuser)) == (["pay"], (1, 1))


async def test_without_a_key_every_request_counts(ready: Shop, superuser: Any) -> None:
    for _ in range(2):
        assert (await ready.alice.post(PAY, BODY)).status == 201

    assert await effects(superuser) == (2, 0)


async def test_a_key_belongs_to_its_caller_and_path(ready: Shop, superuser: Any) -> None:
    answers = [
        await ready.alice.post(PAY, BODY, idempotency_key="k-1"),
        await ready.as_("customer", user_id=OTHER).post(PAY, BODY, idempotency_key="k-1"),
        await ready.alice.post("/order/guests", BODY, idempotency_key="k-1"),
        await ready.anonymous.post("/order/guests", BODY, idempotency_key="k-1"),
    ]

    assert [answer.status for answer in answers] == [201] * 4
    assert await effects(superuser) == (4, 4)


async def test_a_key_that_was_made_can_be_used_to_ask_again(ready: Shop, superuser: Any) -> None:
    first = await ready.anonymous.post("/order/guests", BODY)
    again = await ready.anonymous.post("/order/guests", BODY, idempotency_key=first.headers["idempotency-key"])

    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert await effects(superuser) == (1, 1)


async def test_while_the_first_is_under_way_the_second_is_told_so_at_once(stocked: Shop, superuser: Any) -> None:
    first = asyncio.create_task(stocked.alice.post(PAY, BODY, idempotency_key="k-1"))
    while not await superuser.fetchval(LOCKED):
        await asyncio.sleep(0.01)
    second = await asyncio.wait_for(stocked.alice.post(PAY, BODY, idempotency_key="k-1"), PATIENCE_S)
    stocked.desk.go_on.set()

    assert (second.error, second.headers["retry-after"]) == ((409, "request_in_flight"), "1")
    assert ((await first).status, await effects(superuser)) == (201, (1, 1))
    assert (await stocked.alice.post(PAY, BODY, idempotency_key="k-1")).headers["idempotent-replayed"] == "true"


async def test_of_twenty_at_once_one_has_an_effect(ready: Shop, superuser: Any) -> None:
    answers = await asyncio.gather(*(ready.alice.post(PAY, BODY, idempotency_key="k-1") for _ in range(20)))

    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    assert await effects(superuser) == (1, 1)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (REFUSAL, (402, "card_declined")),
        (CONFLICT, (409, "conflict")),
        (RuntimeError("a bug"), (500, "internal_error")),
        (TimeoutError(), (503, "unavailable")),
    ],
)
async def test_what_fails_has_no_effect_and_can_be_tried_again(
    ready: Shop, superuser: Any, failure: Exception, error: tuple[int, str]
) -> None:
    ready.desk.failure = failure
    failed = await ready.alice.post(PAY, BODY, idempotency_key="k-1")
    nothing = await effects(superuser)
    ready.desk.failure = None
    again = await ready.alice.post(PAY, BODY, idempotency_key="k-1")

    assert (failed.error, nothing) == (error, (0, 0))
    assert (again.status, "idempotent-replayed" in again.headers) == (201, False)


async def test_an_answer_is_forgotten_after_24_hours_purged_or_not(ready: Shop, superuser: Any) -> None:
    await ready.alice.post(PAY, BODY, idempotency_key="k-1")
    await superuser.execute("UPDATE probe.idempotency SET at = now() - interval '25 hours'")
    again = await ready.alice.post(PAY, {"price": 2}, idempotency_key="k-1")

    assert (again.status, "idempotent-replayed" in again.headers) == (201, False)
    assert await effects(superuser) == (2, 1)


async def test_purging_takes_what_is_old_and_leaves_the_rest(
    database: Database, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = Reply(200, b"{}")
    async with database.transaction() as tx:
        idempotency.store_all(tx, [Entry("s", f"k-{n}", b"h", reply) for n in range(5)])
    await superuser.execute("UPDATE probe.idempotency SET at = now() - interval '25 hours' WHERE key < 'k-3'")

    monkeypatch.setattr(idempotency, "PURGE_LIMIT", 2)
    assert [await idempotency.purge(database) for _ in range(2)] == [True, False]
    async with database.transaction() as tx:
        assert [stored is None for stored in await idempotency.lookup(tx, ["s"] * 2, ["k-0", "k-4"])] == [True, False]


async def test_a_batch_is_looked_up_in_its_own_order(database: Database) -> None:
    async with database.transaction() as tx:
        idempotency.store(tx, "s", "b", b"h", Reply(201, b"B", {"location": "/b"}))
        idempotency.store(tx, "s", "a", b"h", Reply(204))
        found = await idempotency.lookup(tx, ["s", "s", "t", "s"], ["a", "c", "b", "b"])

    assert [stored and stored.status for stored in found] == [204, None, None, 201]
    assert found[3] is not None
    assert found[3].replay(b"h") == Reply(201, b"B", {"location": "/b", "idempotent-replayed": "true"})


async def test_the_primary_key_settles_what_the_lock_did_not_see(database: Database) -> None:
    async with database.transaction() as tx:
        idempotency.store(tx, "s", "a", b"h", Reply(204))

    with pytest.raises(Conflict) as refused:
        async with database.transaction() as tx:
            idempotency.store(tx, "s", "a", b"h", Reply(200, b"{}"))
    assert refused.value.error == "request_in_flight"


async def test_a_scope_is_caller_method_and_path() -> None:
    assert idempotency.scope_of(ALICE, "POST", PAY) == f"{ALICE} POST {PAY}"


@pytest.mark.parametrize(
    ("header", "key"),
    [("abc", "abc"), ('"abc"', "abc"), ('"a\\"b\\\\"', 'a"b\\'), ("a" * 255, "a" * 255), (None, None), ("~", "~")],
)
def test_a_key_is_a_quoted_string_or_bare(header: str | None, key: str | None) -> None:
    assert idempotency.parse_key(header) == key


async def test_a_database_that_is_gone_is_a_503(ready: Shop, database: Database, superuser: Any) -> None:
    await database.close()
    response = await ready.alice.post(PAY, BODY, idempotency_key="k-1")

    assert (response.error, response.headers["retry-after"]) == ((503, "unavailable"), "1")
    assert await effects(superuser) == (0, 0)
