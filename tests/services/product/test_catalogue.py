"""What was shown before is shown again only as long as it is what would be read."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from tests.services.product.catalogue import PRODUCTS, Catalogue, adjusted, opened, reserved
from tradepost.services.product import consumers
from tradepost.services.product.catalogue import Catalogue as Remembering
from tradepost.services.product.catalogue import Listed
from tradepost.services.product.queries.products import Asked
from tradepost.services.product.queries.search import Wanted

Step = Callable[[Catalogue, Any, Any], Awaitable[object]]

WANTED: Final = (
    Wanted(limit=10),
    Wanted(limit=1, q="mug"),
    Wanted(limit=10, q="mug", in_stock=True),
    Wanted(limit=10, vendor="Acme"),
    Wanted(limit=10, tags=("new",)),
    Wanted(limit=10, status=None, sort="name"),
    Wanted(limit=10, q="nothing like it"),
    Wanted(limit=10, q="tumbler"),
)


async def _by_hand(catalogue: Catalogue, sql: str, *arguments: Any) -> None:
    async with catalogue.db.transaction() as tx:
        await tx.execute(sql, *arguments)


async def _rename_category(catalogue: Catalogue, mug: Any, _cup: Any) -> None:
    path = f"/product/categories/{mug['category']['id']}"
    assert (await catalogue.change("PATCH", path, {"name": "Crockery"})).status == 200


async def _stock_built_anew(catalogue: Catalogue, _mug: Any, _cup: Any) -> None:
    async with catalogue.db.transaction() as tx:
        await consumers.forget_stock(tx)


STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("nothing", lambda catalogue, _mug, _cup: asyncio.sleep(0)),
    ("a new name", lambda catalogue, mug, _cup: catalogue.edit(mug["id"], {"name": "Tumbler"})),
    ("another price", lambda catalogue, mug, _cup: catalogue.edit(mug["id"], {"price": 5})),
    ("a vendor", lambda catalogue, mug, _cup: catalogue.edit(mug["id"], {"vendor": "Acme"})),
    ("a tag", lambda catalogue, mug, _cup: catalogue.edit(mug["id"], {"tags": ["new"]})),
    ("archived", lambda catalogue, mug, _cup: catalogue.edit(mug["id"], {"status": "archived"})),
    ("a new product", lambda catalogue, _mug, _cup: catalogue.create(name="Another mug", tags=["new"])),
    ("a category's name", _rename_category),
    ("opened", lambda catalogue, mug, _cup: catalogue.hear(opened(mug))),
    ("counted", lambda catalogue, mug, _cup: catalogue.hear([adjusted("MUG-1", 7, 1)])),
    ("sold", lambda catalogue, mug, _cup: catalogue.hear([reserved(("MUG-1", 0, 9), ("CUP-1", 3, 9))])),
    ("stock built anew", _stock_built_anew),
    ("a row by hand", lambda catalogue, mug, _cup: _by_hand(catalogue, "UPDATE variant SET grams = 300")),
    ("a row gone by hand", lambda catalogue, mug, _cup: _by_hand(catalogue, "DELETE FROM offer")),
)


@pytest.mark.parametrize(("step", "change"), STEPS, ids=[name for name, _ in STEPS])
async def test_what_is_remembered_is_what_would_be_read(catalogue: Catalogue, step: str, change: Step) -> None:
    category = (await catalogue.staff.post("/product/categories", {"name": "Kitchen"})).json["id"]
    mug = await catalogue.create(name="Mug", sku="MUG-1", category_id=category)
    cup = await catalogue.create(name="Cup or mug", sku="CUP-1", vendor="Acme", tags=["new"])
    await catalogue.hear([*opened(cup), adjusted("CUP-1", 4, 2)])
    remembering = Remembering(catalogue.db)

    async def read(by: Remembering) -> list[object]:
        asked = [Asked(product["id"], staff) for product in (mug, cup) for staff in (False, True)]
        products = [shown and (shown.json, shown.version) for shown in [await by.product(one) for one in asked]]
        pages = [await by.page(Listed(wanted, staff)) for wanted in WANTED for staff in (False, True)]
        return [*products, *map(msgspec.json.decode, pages)]

    assert await read(remembering) == await read(Remembering(catalogue.db))
    before = await read(remembering)
    await change(catalogue, mug, cup)
    after = await read(remembering)
    assert after == await read(Remembering(catalogue.db))
    assert (after == before) == (step == "nothing")


async def test_what_has_not_changed_takes_one_statement(catalogue: Catalogue) -> None:
    mugs = [await catalogue.create(name=f"Mug {number}", sku=f"MUG-{number}") for number in range(5)]
    product, mine, page = f"{PRODUCTS}/{mugs[0]['id']}", f"{PRODUCTS}/{mugs[1]['id']}", f"{PRODUCTS}?q=mug&limit=3"

    async def cost(*paths: str) -> list[int]:
        found = []
        for path in paths:
            before = catalogue.db.statements
            assert (await catalogue.everyone.get(path)).status == 200
            found.append(catalogue.db.statements - before)
        return found

    assert await cost(product, product, page, page, mine) == [1, 1, 3, 1, 1]
    await catalogue.hear([reserved(("MUG-4", 8, 1))])  # on the page, which is read anew for it
    assert await cost(product, page, page) == [1, 3, 1]
    await catalogue.hear([reserved(("MUG-0", 8, 1))])  # and this is not
    assert await cost(page, product, product) == [1, 2, 1]
    await catalogue.edit(mugs[1]["id"], {"vendor": "Acme"})
    assert await cost(product, product, page, page) == [2, 1, 4, 1]


async def test_who_asks_at_the_same_time_asks_together(catalogue: Catalogue) -> None:
    ids = [(await catalogue.create(name=f"Mug {number}"))["id"] for number in range(20)]
    remembering = Remembering(catalogue.db)
    asked = [Asked(product_id, False) for product_id in ids]
    first = await asyncio.gather(*map(remembering.product, asked))
    before = catalogue.db.statements

    assert await asyncio.gather(*map(remembering.product, asked)) == first
    assert catalogue.db.statements - before == 1
    assert [shown and msgspec.json.decode(shown.json)["id"] for shown in first] == ids


async def test_the_mark_changes_with_each_commit_and_keeps_nobody_waiting_before(catalogue: Catalogue) -> None:
    mugs = [await catalogue.create(name=f"Mug {number}") for number in range(2)]
    rename = "UPDATE product SET name = $2 WHERE id = $1"

    async def mark() -> object:
        return await catalogue.db.fetchval("SELECT xmin::text FROM catalogue")

    seen = [await mark()]
    async with catalogue.db.transaction() as slow:
        await slow.execute(rename, mugs[0]["id"], "Slow")
        async with asyncio.timeout(5), catalogue.db.transaction() as quick:
            await quick.execute(rename, mugs[1]["id"], "Quick")
            await quick.execute(rename, mugs[1]["id"], "Quicker")
        seen.append(await mark())
    seen.append(await mark())
    with pytest.raises(asyncpg.CheckViolationError):
        await _by_hand(catalogue, "UPDATE product SET version = -1")
    seen.append(await mark())
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]
