"""Everyone at once: no two transactions wait for one another, and the books balance afterwards."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from tests.kernel.http.driver import Client
from tests.services.inventory.test_sync import JSON_LINES
from tests.services.inventory.warehouse import Warehouse, cancelled, created, paid, product, returned
from tradepost.kernel.events import Fact
from tradepost.kernel.ids import new_id

SKUS = [f"SKU-{n}" for n in range(8)]
ROUNDS = 12


def life(chance: random.Random) -> list[Fact]:
    """An order's facts, in an order in which they can come."""
    order = new_id()
    lines = [(sku, chance.randint(1, 3)) for sku in chance.sample(SKUS, 3)]
    told: list[Fact] = [created(order, *lines)]
    end = chance.choice(["open", "paid", "cancelled", "restocked", "returned"])
    if end in ("paid", "restocked", "returned"):
        told.append(paid(order))
    if end in ("cancelled", "restocked"):
        told.append(cancelled(order, was_paid=end == "restocked"))
    if end == "returned":
        told.append(returned(order, new_id(), *((sku, 1, True) for sku, _ in lines)))
    return told


def mixed(lives: Sequence[list[Fact]], chance: random.Random) -> list[Fact]:
    """All facts of all lives, shuffled, each life in its own order."""
    turns = [number for number, one in enumerate(lives) for _ in one]
    chance.shuffle(turns)
    waiting = [iter(one) for one in lives]
    return [next(waiting[turn]) for turn in turns]


async def in_rounds(act: Callable[[random.Random], Awaitable[object]], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        await act(chance)


async def test_orders_products_staff_and_syncs_never_wait_in_a_circle(warehouse: Warehouse, staff: Client) -> None:
    product_id = await warehouse.stock_up(**dict.fromkeys(SKUS, 60))
    await warehouse.db.fetch("UPDATE stock SET threshold = 30")

    async def orders(chance: random.Random) -> None:
        await warehouse.hear(*mixed([life(chance) for _ in range(15)], chance))

    async def products(chance: random.Random) -> None:
        new = {f"NEW-{chance.randint(0, 40)}": 3 for _ in range(3)}
        await warehouse.hear(product(product_id, **dict.fromkeys(chance.sample(SKUS, 5), 1)), product(new_id(), **new))

    async def movements(chance: random.Random) -> None:
        move = {"sku": chance.choice(SKUS), "quantity": chance.choice([-2, 5]), "reason": "correction"}
        assert (await staff.post("/inventory/movements", move)).status in (201, 409)

    async def syncs(chance: random.Random) -> None:
        body = b"".join(
            b'{"sku": "%s", "available": %d}\n' % (sku.encode(), chance.randint(20, 60))
            for sku in chance.sample(SKUS, 6)
        )
        answer = await staff.call("POST", "/inventory/sync", [body], {"content-type": JSON_LINES})
        assert b'"rejected":0' in answer.body

    await asyncio.gather(
        in_rounds(orders, 1), in_rounds(orders, 2), in_rounds(products, 3), in_rounds(movements, 4),
        in_rounds(syncs, 5), in_rounds(syncs, 6),
    )  # fmt: skip
    await warehouse.hear(created(new_id(), (SKUS[0], 100_000)))

    await warehouse.check_the_books()
    statuses = {row["status"] for row in await warehouse.db.fetch("SELECT DISTINCT status FROM reservation")}
    assert statuses == {"reserved", "rejected", "committed", "released", "restocked"}


async def test_locking_twice_in_one_transaction_would_wait_in_a_circle(warehouse: Warehouse) -> None:
    """What the test above would see if stock were not locked in one order: it can fail."""
    await warehouse.stock_up(A=1, B=1)
    both = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with warehouse.db.transaction() as tx:
            await tx.execute("SELECT FROM stock WHERE sku = $1 FOR UPDATE", first)
            await both.wait()
            await tx.execute("SELECT FROM stock WHERE sku = $1 FOR UPDATE", second)

    outcomes = await asyncio.gather(lock("A", "B"), lock("B", "A"), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if outcome] == [asyncpg.DeadlockDetectedError]
