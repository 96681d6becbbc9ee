"""Lists read what they show, however many orders there are."""

from typing import Any, Final

import pytest

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http.body import ListQuery
from tradepost.kernel.ids import new_id
from tradepost.services.order import queries

STORE: Final = """
INSERT INTO orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
SELECT gen_random_uuid(), $1, 'pending', 1, 'USD', 500, '[]', 'pm_card_visa', now() FROM generate_series(1, $2)
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


async def test_first_pages_are_read_together_and_each_is_the_one_of_its_user(db: Database, superuser: Any) -> None:
    many, few, none = new_id(), new_id(), new_id()
    async with db.transaction() as tx:
        await tx.execute(STORE, many, 3_000)
        await tx.execute(STORE, few, 3)
    await superuser.execute('ANALYZE "order".orders')
    asked = [queries.Newest(many, 10), queries.Newest(many, 2), queries.Newest(few, 3), queries.Newest(none, 20)]

    for _ in range(7):
        async with db.transaction() as tx:
            before = await rows_read(tx)
            pages = await queries.newest(tx, asked)
            assert await rows_read(tx) - before <= 11 + 3 + 3

    assert pages == {one: await queries.listing(db, ListQuery(limit=one.limit), one.user_id, None) for one in asked}
    assert [(len(pages[one].data), pages[one].has_more) for one in asked] == [
        (10, True), (2, True), (3, False), (0, False),
    ]  # fmt: skip
