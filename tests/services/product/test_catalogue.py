"""What was shown before is shown again only as long as it is what would be read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from tests.patience import PATIENCE_S
from tests.services.product.catalogue import PRODUCTS, Catalogue, adjusted, opened, reserved
from tradepost.kernel.remembered import LIMIT_BYTES
from tradepost.services.product import catalogue as remembering
from tradepost.services.product import consumers
from tradepost.services.product.catalogue import Catalogue as Remembering
from tradepost.services.product.catalogue import Listed
from tradepost.services.product.queries.mark import MARK
from tradepost.services.product.queries.products import Asked
from tradepost.services.product.queries.search import Wanted

WANTED: Final = (
    Wanted(limit=10),
    Wanted(limit=1, q="mug"),
    Wanted(limit=10, q="mug", in_stock=True),
    Wanted(limit=10, in_stock=False),
    Wanted(limit=10, vendor="Acme"),
    Wanted(limit=10, tags=("new",)),
    Wanted(limit=10, status=None, sort="name"),
    Wanted(limit=10, sku="CUP-1"),
    Wanted(limit=10, q="nothing like it"),
    Wanted(limit=10, q="tumbler"),
)
EMPTY: Final = b'{"data":[],"has_more":false}'


@dataclass
class Shelf:
    """A mug and a cup in a catalogue, and all that can be shown of them."""

    catalogue: Catalogue
    mug: Any
    cup: Any

    async def shown(self, by: Remembering) -> list[object]:
        """Pages first, so that what is remembered of the products is older than they are."""
        ends = Wanted(limit=1, after=self.cup["id"]), Wanted(limit=1, before=self.mug["id"])
        wanted = (*WANTED, *ends, Wanted(limit=5, category=self.mug["category"]["id"]))
        pages = [await by.page(Listed(one, staff)) for one in wanted for staff in (False, True)]
        asked = [Asked(product["id"], staff) for product in (self.mug, self.cup) for staff in (False, True)]
        products = [shown and (shown.json, shown.version) for shown in [await by.product(one) for one in asked]]
        return [*map(msgspec.json.decode, pages), *products]

    async def expect(self, change: Callable[[], Awaitable[object]], *, differs: bool = True) -> None:
        """What is remembered is what would be read, before `change` and after it."""
        by = Remembering(self.catalogue.db)
        before = await self.shown(by)
        assert await self.shown(by) == before == await self.shown(Remembering(self.catalogue.db))
        await change()
        after = await self.shown(by)
        assert after == await self.shown(Remembering(self.catalogue.db))
        assert (after != before) == differs


@pytest.fixture
async def shelf(catalogue: Catalogue) -> Shelf:
    category = (await catalogue.staff.post("/product/categories", {"name": "Kitchen"})).json["id"]
    mug = await catalogue.create(name="Mug", sku="MUG-1", category_id=category)
    cup = await catalogue.create(name="Cup or mug", sku="CUP-1", vendor="Acme", tags=["new"])
    await catalogue.hear([*opened(cup), adjusted("CUP-1", 4, 2)])
    return Shelf(catalogue, mug, cup)


async def _rename_category(shelf: Shelf) -> None:
    path = f"/product/categories/{shelf.mug['category']['id']}"
    assert (await shelf.catalogue.change("PATCH", path, {"name": "Crockery"})).status == 200


async def _stock_built_anew(shelf: Shelf) -> None:
    async with shelf.catalogue.db.transaction() as tx:
        await consumers.forget_stock(tx)


STEPS: Final[tuple[tuple[str, Callable[[Shelf], Awaitable[object]]], ...]] = (
    ("a new name", lambda shelf: shelf.catalogue.edit(shelf.mug["id"], {"name": "Tumbler"})),
    ("another price", lambda shelf: shelf.catalogue.edit(shelf.mug["id"], {"price": 5})),
    ("a vendor", lambda shelf: shelf.catalogue.edit(shelf.mug["id"], {"vendor": "Acme"})),
    ("a tag", lambda shelf: shelf.catalogue.edit(shelf.mug["id"], {"tags": ["new"]})),
    ("archived", lambda shelf: shelf.catalogue.edit(shelf.mug["id"], {"status": "archived"})),
    ("a new product", lambda shelf: shelf.catalogue.create(name="Another mug", tags=["new"])),
    ("a category's name", _rename_category),
    ("opened", lambda shelf: shelf.catalogue.hear(opened(shelf.mug))),
    ("counted", lambda shelf: shelf.catalogue.hear([adjusted("MUG-1", 7, 1)])),
    ("sold", lambda shelf: shelf.catalogue.hear([reserved(("MUG-1", 0, 9), ("CUP-1", 3, 9))])),
    ("stock built anew", _stock_built_anew),
)


@pytest.mark.parametrize(("step", "change"), STEPS, ids=[name for name, _ in STEPS])
async def test_what_is_remembered_is_what_would_be_read(
    shelf: Shelf, step: str, change: Callable[[Shelf], Awaitable[object]]
) -> None:
    await shelf.expect(lambda: change(shelf))


@pytest.mark.parametrize(
    ("sql", "differs"),
    [
        ("UPDATE product.variant SET grams = 300", True),
        ("UPDATE product.category SET name = 'Cellar'", True),
        ("DELETE FROM product.offer", True),
        ("TRUNCATE product.offer", True),
        ("DELETE FROM product.catalogue", False),
        ("DELETE FROM product.catalogue; UPDATE product.product SET name = 'Tumbler'", True),
        ("BEGIN; SAVEPOINT a; UPDATE product.product SET name = 'A'; SET CONSTRAINTS ALL IMMEDIATE;"
         " ROLLBACK TO a; UPDATE product.product SET vendor = 'B'; COMMIT", True),
    ],
)  # fmt: skip
async def test_what_is_done_by_hand_is_seen(shelf: Shelf, product_url: str, sql: str, differs: bool) -> None:
    async def by_hand() -> None:
        connection = await asyncpg.connect(product_url)
        await connection.execute(sql)
        await connection.close()

    await shelf.expect(by_hand, differs=differs)


async def test_an_edit_while_a_page_is_made_is_not_missed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    by, names = Remembering(shelf.catalogue.db), iter(("One", "Two", "Three", "Four"))

    async def and_then(work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        found = await work(*arguments)
        if name := next(names, None):
            await shelf.catalogue.edit(shelf.mug["id"], {"name": name})
        return found

    for name in ("search", "read_products", "_now"):
        work = getattr(remembering, name)
        monkeypatch.setattr(remembering, name, lambda *arguments, work=work: and_then(work, *arguments))
    listed = Listed(Wanted(limit=10), staff=False)
    for _ in range(4):
        await by.page(listed)
    monkeypatch.undo()
    assert next(names, None) is None
    for _ in range(2):
        assert await by.page(listed) == await Remembering(shelf.catalogue.db).page(listed)


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

    assert await cost(product, product, page, page, mine) == [1, 1, 2, 1, 1]
    await catalogue.hear([reserved(("MUG-4", 8, 1))])  # on the page, which is read anew for it
    assert await cost(product, page, page) == [1, 3, 1]
    await catalogue.hear([reserved(("MUG-0", 8, 1))])  # and this is not
    assert await cost(page, product, product) == [1, 2, 1]
    await catalogue.edit(mugs[1]["id"], {"vendor": "Acme"})
    assert await cost(product, product, page, page) == [2, 1, 3, 1]
    assert await cost(f"{PRODUCTS}?q=mug&limit=2", f"{PRODUCTS}?q=mug&limit=2") == [2, 1]  # products that are known


async def test_who_asks_at_the_same_time_asks_together(catalogue: Catalogue) -> None:
    ids = [(await catalogue.create(name=f"Mug {number}"))["id"] for number in range(20)]
    by = Remembering(catalogue.db)
    asked = [Asked(product_id, False) for product_id in ids]
    first = await asyncio.gather(*map(by.product, asked))
    before = catalogue.db.statements

    assert await asyncio.gather(*map(by.product, asked)) == first
    assert catalogue.db.statements - before == 1
    assert [shown and msgspec.json.decode(shown.json)["id"] for shown in first] == ids


async def test_nobody_waits_for_the_stock_of_a_large_page(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "MANY_SKUS", 3)
    mugs = [await catalogue.create(name=f"Mug {number}") for number in range(5)]
    by, large, gathered = Remembering(catalogue.db), Listed(Wanted(limit=10), staff=False), asyncio.Event()
    one = Asked(mugs[0]["id"], False)
    page, shown = await by.page(large), await by.product(one)
    at_once = remembering._now

    async def slow(db: Any, asked: Sequence[tuple[str, ...]]) -> Any:
        if sum(map(len, asked)) >= 3:
            await gathered.wait()
        return await at_once(db, asked)

    monkeypatch.setattr(remembering, "_now", slow)
    waiting = asyncio.create_task(by.page(large))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        assert await by.product(one) == shown
    assert not waiting.done()
    gathered.set()
    assert await waiting == page


async def test_what_is_remembered_has_an_end(catalogue: Catalogue) -> None:
    by = Remembering(catalogue.db)
    tags = tuple(f"{number}{'🎄' * 250}" for number in range(90))  # a thousand bytes each
    for number in range(LIMIT_BYTES // 90_000 * 2):
        assert await by.page(Listed(Wanted(limit=10, q=str(number), tags=tags), staff=False)) == EMPTY
    kept = [*by._pages._young, *by._pages._old]
    assert 0 < sum(4 * len(tag) for listed in kept for tag in listed.wanted.tags) <= LIMIT_BYTES


async def test_the_mark_changes_with_each_commit_and_keeps_nobody_waiting_before(catalogue: Catalogue) -> None:
    mugs = [await catalogue.create(name=f"Mug {number}") for number in range(2)]
    rename = "UPDATE product SET name = $2 WHERE id = $1"

    async def mark() -> object:
        return await catalogue.db.fetchval(f"SELECT {MARK}")

    seen = [await mark()]
    async with catalogue.db.transaction() as slow:
        await slow.execute(rename, mugs[0]["id"], "Slow")
        async with asyncio.timeout(PATIENCE_S), catalogue.db.transaction() as quick:
            await quick.execute(rename, mugs[1]["id"], "Quick")
            await quick.execute(rename, mugs[1]["id"], "Quicker")
        seen.append(await mark())
    seen.append(await mark())
    with pytest.raises(LookupError):
        await _give_up(catalogue, rename, mugs[0]["id"])
    seen.append(await mark())
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]


async def _give_up(catalogue: Catalogue, rename: str, product_id: str) -> None:
    async with catalogue.db.transaction() as undone:
        await undone.execute(rename, product_id, "Undone")
        await undone.execute("SET CONSTRAINTS ALL IMMEDIATE")
        raise LookupError
