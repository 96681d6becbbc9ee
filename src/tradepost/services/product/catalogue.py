"""Products and lists of them as they were shown before, for as long as PostgreSQL says that nothing has changed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final, NamedTuple, TypeAlias

from tradepost.kernel.database import Database
from tradepost.kernel.gatherer import Gatherer
from tradepost.kernel.remembered import Remembered
from tradepost.services.product.queries.mark import MARK
from tradepost.services.product.queries.products import Asked, Shown, read_products
from tradepost.services.product.queries.search import Found, Wanted, search

Skus: TypeAlias = tuple[str, ...]

MANY_SKUS: Final = 100  # from here on a look goes by itself, and nobody waits for it but who asks
ENTRY_BYTES: Final = 1_000  # of what is remembered, beside the texts in it
TEXT_BYTES: Final = 100  # of each text, beside its characters, which take up to four

_NOW: Final = f"""
SELECT {MARK} AS mark, ARRAY(
    SELECT COALESCE((SELECT available FROM availability WHERE availability.sku = asked.sku), 0)
    FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place) ORDER BY place
) AS stock
"""


class Now(NamedTuple):
    """The catalogue's mark, which changes with all that is in it, and what can be sold of the SKUs asked for."""

    mark: str
    stock: Sequence[int]


class Listed(NamedTuple):
    """What somebody wants to see, and whether he is staff."""

    wanted: Wanted
    staff: bool


class Page(NamedTuple):
    """A `ListOf[ProductView]`, encoded, and what it was made of."""

    json: bytes
    found: Found
    skus: Skus
    stock: Sequence[int]


class Catalogue:
    """What is shown is as it was committed after it was asked for: one statement for all who ask at the same time tells
    whether what they were shown before still holds. What doesn't is made anew."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._shown: Remembered[Asked, Shown] = Remembered()
        self._pages: Remembered[Listed, Page] = Remembered()
        self._now: Gatherer[Skus, Now] = Gatherer(partial(_now, db))
        self._read: Gatherer[Asked, Shown] = Gatherer(partial(read_products, db))

    async def product(self, asked: Asked) -> Shown | None:
        """None when there is no such product for who asks."""
        shown = self._shown.get(asked)
        if shown is not None and (shown.mark, shown.stock) == await self._look(shown.skus):
            return shown
        if (shown := await self._read.get(asked)) is not None:
            self._keep(asked, shown)
        return shown

    async def page(self, listed: Listed) -> bytes:
        """A `ListOf[ProductView]`, encoded."""
        page, found = self._pages.get(listed), None
        if page is not None:
            now = await self._look(page.skus)
            if (page.found.mark, page.stock) == now:
                return page.json
            found = page.found if page.found.mark == now.mark else None
        if found is None:
            found = await search(self._db, listed.wanted)
        products = await self._products([Asked(product_id, listed.staff) for product_id in found.ids], found.mark)
        page = _page(found, products)
        if listed.wanted.in_stock is None:  # else products come and go with what is sold
            self._pages.put(listed, page, _size(page.json, [repr(listed.wanted), *found.ids, *page.skus]))
        return page.json

    async def _products(self, asked: Sequence[Asked], mark: str) -> Sequence[Shown]:
        """Those that are there for who asks, `mark` being the catalogue's a moment ago: as they were shown, or read."""
        kept = ((one, self._shown.get(one)) for one in asked)
        known = {one: shown for one, shown in kept if shown is not None and shown.mark == mark}
        holding = await self._holding(known) if known else {}
        if changed := [one for one in asked if one not in holding]:
            read = await read_products(self._db, changed)
            for one, shown in read.items():
                self._keep(one, shown)
            holding.update(read)
        return [holding[one] for one in asked if one in holding]

    async def _holding(self, known: Mapping[Asked, Shown]) -> dict[Asked, Shown]:
        """Those that can be shown as they were."""
        mark, stock = await self._look(tuple(chain.from_iterable(shown.skus for shown in known.values())))
        holding, end = {}, 0
        for one, shown in known.items():
            start, end = end, end + len(shown.skus)
            if (shown.mark, shown.stock) == (mark, stock[start:end]):
                holding[one] = shown
        return holding

    async def _look(self, skus: Skus) -> Now:
        now = await self._now.get(skus) if len(skus) < MANY_SKUS else (await _now(self._db, [skus]))[skus]
        assert now is not None
        return now

    def _keep(self, asked: Asked, shown: Shown) -> None:
        self._shown.put(asked, shown, _size(shown.json, shown.skus))


async def _now(db: Database, asked: Sequence[Skus]) -> Mapping[Skus, Now]:
    row = await db.fetchrow(_NOW, list(chain.from_iterable(asked)))
    assert row is not None
    stock = iter(row["stock"])
    return {skus: Now(row["mark"], list(islice(stock, len(skus)))) for skus in asked}


def _page(found: Found, products: Sequence[Shown]) -> Page:
    texts = b",".join(shown.json for shown in products)
    return Page(
        b'{"data":[%b],"has_more":%b}' % (texts, b"true" if found.has_more else b"false"),
        found,
        tuple(chain.from_iterable(shown.skus for shown in products)),
        list(chain.from_iterable(shown.stock for shown in products)),
    )


def _size(json: bytes, texts: Iterable[str]) -> int:
    """At least what these take in memory, and those that they are remembered by."""
    return ENTRY_BYTES + len(json) + sum(TEXT_BYTES + 4 * len(text) for text in texts)
