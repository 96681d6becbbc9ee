"""Lists read what they show, however many orders there are."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import ListQuery
from tradepost.kernel.ids import new_id
from tradepost.services.order import queries
from tradepost.services.order.domain.order import Status
from tradepost.services.order.newest import Newest, NewestOrders

STORE: Final = """
INSERT INTO orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
SELECT gen_random_uuid(), $1, 'pending', 1, 'USD', 500, '[]', 'pm_card_visa', now() FROM generate_series(1, $2)
"""
CHANGE: Final = """
UPDATE orders SET status = 'cancelled', cancel_reason = gen_random_uuid()
WHERE id = (SELECT id FROM orders WHERE user_id = $1 ORDER BY orders.id DESC LIMIT 1)
"""
ADD: Final = """
INSERT INTO orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', $1, 'pending', 1, 'USD', 700, '[]', 'pm_card_visa', now())
"""
FORGET: Final = """
DELETE FROM orders WHERE user_id = $1 AND id <> ALL (ARRAY(SELECT id FROM orders WHERE user_id = $1
                                                           ORDER BY orders.id DESC LIMIT 2))
"""
END: Final = """
UPDATE orders SET status = CASE WHEN good THEN 'completed' ELSE 'cancelled' END,
    completed_at = CASE WHEN good THEN now() END, cancelled_at = CASE WHEN NOT good THEN now() END,
    cancel_reason = CASE WHEN NOT good THEN 'payment_failed' END
FROM (SELECT id AS ended, row_number() OVER (ORDER BY orders.id DESC) > 4 AS good FROM orders) AS ends WHERE id = ended
"""
PAY_ONE: Final = """
UPDATE orders SET status = 'paid', paid_at = now()
WHERE id = (SELECT id FROM orders WHERE completed_at IS NULL AND cancelled_at IS NULL LIMIT 1)
"""
OPEN: Final = """
INSERT INTO orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at, paid_at,
                    cancel_requested, cancel_requested_at)
SELECT gen_random_uuid(), gen_random_uuid(), $1, 1, 'USD', 500, '[]', 'pm_card_visa', $2, $3,
       $4::timestamptz IS NOT NULL, $4
"""
RETURN: Final = """
INSERT INTO return_ (id, order_id, status, lines, reason, amount, requested_at)
VALUES ($1, $2, 'requested', '[]', 'x', 1, now())
"""
MIDDLE: Final = "SELECT id::text FROM orders WHERE user_id = $1 ORDER BY orders.id LIMIT 1 OFFSET 999"
READ: Final = "SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables WHERE relname = 'orders'"


async def rows_read(tx: Tx) -> int:
    return int(await tx.fetchval(READ))


@pytest.mark.parametrize("everyones", [True, False])
async def test_a_page_of_many_orders_reads_no_more_than_the_page(db: Database, superuser: Any, everyones: bool) -> None:
    mine, other = new_id(), new_id()
    async with db.transaction() as tx:
        await tx.execute(STORE, other, 20_000)
        await tx.execute(STORE, mine, 2_000)
    await superuser.execute('ANALYZE "order".orders')
    middle = await db.fetchval(MIDDLE, mine)
    owner = None if everyones else mine

    for asked in (ListQuery(limit=10), ListQuery(starting_after=middle), ListQuery(ending_before=middle)):
        for _ in range(7):  # so often that PostgreSQL would think of a plan for any arguments
            async with db.transaction() as tx:
                before = await rows_read(tx)
                page = await queries.listing(tx, asked, owner, None)
                assert await rows_read(tx) - before <= asked.limit + 1
            assert len(page.data) == asked.limit
            assert page.has_more
            assert everyones or {order.user_id for order in page.data} == {mine}


async def test_the_few_orders_on_their_way_or_cancelled_are_found_among_many(db: Database, superuser: Any) -> None:
    mine = new_id()
    async with db.transaction() as tx:
        await tx.execute(STORE, mine, 20_000)
        await tx.execute(END)
        await tx.execute(STORE, mine, 3)
        await tx.execute(PAY_ONE)
    await superuser.execute('VACUUM ANALYZE "order".orders')  # as in time it is

    counts = {Status.PENDING: 2, Status.RESERVED: 0, Status.PAID: 1, Status.SHIPPED: 0, Status.CANCELLED: 4}
    for status, count in counts.items():
        async with db.transaction() as tx:
            before = await rows_read(tx)
            found = await queries.listing(tx, ListQuery(limit=10), None, status)
            assert await rows_read(tx) - before <= 4
        assert [order.status for order in found.data] == [status] * count
    assert len((await queries.listing(db, ListQuery(limit=10), None, Status.COMPLETED)).data) == 10


async def test_an_order_is_overdue_since_its_time_was_over_or_since_its_cancellation_was_asked_for(
    db: Database,
) -> None:
    noon, minute = datetime(2026, 11, 23, 12, tzinfo=UTC), timedelta(minutes=1)

    async def overdue_s() -> float:
        return await queries.overdue_s(db, noon, 30 * minute)

    async def there_is(status: str, age: timedelta, asked: timedelta | None = None) -> None:
        paid = None if status in ("pending", "reserved") else noon - age
        await db.fetch(OPEN, status, noon - age, paid, None if asked is None else noon - asked)

    assert await overdue_s() == 0.0
    for status in ("pending", "reserved"):
        await there_is(status, 29 * minute)
    for status in ("paid", "shipped"):  # for days, and rightly so
        await there_is(status, 5_000 * minute)
    assert await overdue_s() == 0.0
    await there_is("paid", 5_000 * minute, asked=2 * minute)
    assert await overdue_s() == 120.0
    await there_is("reserved", 33 * minute)
    assert await overdue_s() == 180.0
    await there_is("pending", 34 * minute)
    assert await overdue_s() == 240.0
    await db.fetch("UPDATE orders SET cancel_requested_at = NULL WHERE cancel_requested")  # by an older version
    assert await overdue_s() == 300_000.0
    await db.fetch("UPDATE orders SET cancelled_at = now(), status = 'cancelled', cancel_reason = 'x'")
    assert await overdue_s() == 0.0


async def test_who_is_overdue_is_found_among_the_open_ones_alone(db: Database, superuser: Any) -> None:
    async with db.transaction() as tx:
        await tx.execute(STORE, new_id(), 20_000)
        await tx.execute(END)
        await tx.execute(STORE, new_id(), 3)
    await superuser.execute('VACUUM ANALYZE "order".orders')

    async with db.transaction() as tx:
        before = await rows_read(tx)
        assert await queries.overdue_s(tx, datetime.now(UTC) + timedelta(hours=1), timedelta(minutes=30)) > 1_700.0
        assert await rows_read(tx) - before <= 3


async def page_of(db: Database, one: Newest) -> bytes:
    return msgspec.json.encode(await queries.listing(db, ListQuery(limit=one.limit), one.user_id, None))


async def test_first_pages_are_read_together_and_each_is_the_one_of_its_user(db: Database, superuser: Any) -> None:
    many, few, none = new_id(), new_id(), new_id()
    async with db.transaction() as tx:
        await tx.execute(STORE, many, 3_000)
        await tx.execute(STORE, few, 3)
    await superuser.execute('ANALYZE "order".orders')
    asked = [Newest(many, 10), Newest(many, 2), Newest(few, 3), Newest(none, 20)]
    orders = NewestOrders()

    for _ in range(7):
        for reading in (NewestOrders(), orders):  # anew, and as remembered
            async with db.transaction() as tx:
                before = await rows_read(tx)
                pages = await reading.read(tx, asked)
                assert await rows_read(tx) - before <= 11 + 3 + 3

    assert pages == {one: await page_of(db, one) for one in asked}
    shown = {one: msgspec.json.decode(page) for one, page in pages.items()}
    assert [(len(shown[one]["data"]), shown[one]["has_more"]) for one in asked] == [
        (10, True), (2, True), (3, False), (0, False),
    ]  # fmt: skip


async def test_a_first_page_is_remembered_until_something_on_it_changes(db: Database) -> None:
    mine, other, orders = Newest(new_id(), 2), Newest(new_id(), 2), NewestOrders()
    async with db.transaction() as tx:
        await tx.execute(STORE, mine.user_id, 3)
        await tx.execute(STORE, other.user_id, 3)

    async def cost() -> int:
        """Statements until both have their pages, which are those of the database."""
        before = db.statements
        pages = await orders.read(db, [mine, other])
        found = db.statements - before
        assert pages == {one: await page_of(db, one) for one in (mine, other)}
        return found

    assert [await cost(), await cost()] == [1, 1]
    for change in (CHANGE, ADD, CHANGE):
        async with db.transaction() as tx:
            await tx.execute(change, mine.user_id)
        assert [await cost(), await cost()] == [2, 1]
    async with db.transaction() as tx:  # the row too many of a page tells that there is more
        await tx.execute(FORGET, mine.user_id)
    assert [await cost(), await cost()] == [2, 1]


async def test_the_returns_of_an_order_are_read_page_by_page_the_oldest_first(db: Database) -> None:
    mine, ids = new_id(), [new_id() for _ in range(4)]
    async with db.transaction() as tx:
        await tx.execute(STORE, mine, 2)
        one, other = [row["id"] for row in await tx.fetch("SELECT id::text FROM orders")]
        for return_id in ids:
            await tx.execute(RETURN, return_id, one)
        await tx.execute(RETURN, new_id(), other)

    async def read(query: ListQuery) -> tuple[list[int], bool]:
        page = await queries.returns(db, query, one, mine, everyones=False)
        return [ids.index(found.id) for found in page.data], page.has_more

    assert await read(ListQuery()) == ([0, 1, 2, 3], False)
    assert await read(ListQuery(limit=2)) == ([0, 1], True)
    assert await read(ListQuery(limit=2, starting_after=ids[1])) == ([2, 3], False)
    assert await read(ListQuery(limit=2, ending_before=ids[3])) == ([1, 2], True)
    with pytest.raises(NotFound):
        await queries.returns(db, ListQuery(), one, new_id(), everyones=False)
