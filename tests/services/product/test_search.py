"""Lists: words, spelling, filters, order and pages."""

from itertools import chain
from typing import Any, Final

import asyncpg

from tests.services.product.catalogue import MUG, PRODUCTS, Catalogue, adjusted
from tradepost.kernel.ids import new_id

SAMPLED: Final = """
WITH computed AS (
    SELECT indexrelid AS relation, position FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (attribute, position)
    WHERE indrelid = ANY ('{product.product,product.variant}'::regclass[]) AND attribute = 0
)
SELECT attstattarget AS target FROM pg_attribute
WHERE attnum > 0 AND NOT attisdropped
  AND (attrelid = ANY ('{product.category,product.product,product.variant,product.availability}'::regclass[])
       OR (attrelid, attnum) IN (SELECT relation, position FROM computed))
"""
GOODS: Final[tuple[tuple[str, int, dict[str, Any]], ...]] = (
    ("Coffee mug", 1200, {"tags": ["kitchen"], "vendor": "Acme", "stock": 5, "sku": "CUP_1"}),
    ("Tea mugs, set of 4", 3000, {"description": "<p>For <b>coffee</b> too</p>", "vendor": "Zeta"}),
    ("Café table", 9900, {"type": "Furniture", "currency": "EUR", "sku": "cup-2"}),
    ("Linen shirt", 4500, {"vendor": "Acme", "tags": ["wear", "new"]}),
    ("apron", 1200, {"tags": ["kitchen", "wear"]}),
    ("Secret mug", 1, {"status": "draft"}),
)
FOUND: Final[tuple[tuple[str, list[str]], ...]] = (
    ("q=mug", ["Tea mugs, set of 4", "Coffee mug"]),
    ("q=coffee", ["Coffee mug", "Tea mugs, set of 4"]),
    ("q=cafe", ["Café table"]),
    ("q=CAF%C3%89", ["Café table"]),
    ("q=furniture+-cafe", []),
    ("q=furniture", ["Café table"]),
    ("q=shrit", ["Linen shirt"]),
    ("q=cofee+muug", ["Coffee mug"]),
    ("q=zzzzqq", []),
    ("q=the", []),
    ("q=cup-", ["Café table"]),
    ("q=CUP_", ["Coffee mug"]),
    ("q=CUP", ["Café table", "Coffee mug"]),
    ("q=%25", []),
    ("q=+", ["apron", "Linen shirt", "Café table", "Tea mugs, set of 4", "Coffee mug"]),
    ("q=mug&sort=newest", ["Tea mugs, set of 4", "Coffee mug"]),
    ("sort=price", ["Coffee mug", "apron", "Tea mugs, set of 4", "Linen shirt", "Café table"]),
    ("sort=-price", ["Café table", "Linen shirt", "Tea mugs, set of 4", "apron", "Coffee mug"]),
    ("sort=name", ["apron", "Café table", "Coffee mug", "Linen shirt", "Tea mugs, set of 4"]),
    ("sort=relevance&limit=1", ["apron"]),
    ("min_price=1201&max_price=4500", ["Linen shirt", "Tea mugs, set of 4"]),
    ("currency=EUR", ["Café table"]),
    ("vendor=Acme", ["Linen shirt", "Coffee mug"]),
    ("tag=wear", ["apron", "Linen shirt"]),
    ("tag=wear&tag=kitchen", ["apron"]),
    ("in_stock=true", ["Coffee mug"]),
    ("in_stock=false&vendor=Acme", ["Linen shirt"]),
    ("handle=coffee-mug", ["Coffee mug"]),
    ("sku=cup-2", ["Café table"]),
    ("sku=CUP-2", []),
    ("q=mug&vendor=Acme", ["Coffee mug"]),
)


async def test_a_list_finds_what_is_asked_for_in_the_order_that_is_asked_for(catalogue: Catalogue) -> None:
    for name, price, more in GOODS:
        await catalogue.create(name=name, price=price, **more)

    for query, names in FOUND:
        assert (query, await catalogue.names(query)) == (query, names)


async def test_a_category_includes_what_lies_below(catalogue: Catalogue) -> None:
    home = (await catalogue.staff.post("/product/categories", {"name": "Home"})).json["id"]
    kitchen = (await catalogue.staff.post("/product/categories", {"name": "Kitchen", "parent_id": home})).json["id"]
    mugs = (await catalogue.staff.post("/product/categories", {"name": "Mugs", "parent_id": kitchen})).json["id"]
    await catalogue.create(name="Mug", category_id=mugs)
    await catalogue.create(name="Sofa", category_id=home)
    await catalogue.create(name="Shirt")

    assert await catalogue.names(f"category={home}") == ["Sofa", "Mug"]
    assert await catalogue.names(f"category={kitchen}") == ["Mug"]
    assert await catalogue.names(f"category={new_id()}") == []


async def test_pages_follow_one_another_in_both_directions(catalogue: Catalogue) -> None:
    for number in range(7):
        await catalogue.create(name=f"Mug {number % 3}", price=number % 2)

    for query in ("", "sort=price", "sort=-price", "sort=name", "q=mug", "q=muug", "q=mug&sort=price"):
        pages = await walk(catalogue, query)
        whole = await ids(catalogue, query)
        back = (await catalogue.everyone.get(f"{PRODUCTS}?{query}&limit=3&ending_before={whole[5]}")).json
        assert (query, [len(page) for page in pages], list(chain(*pages))) == (query, [3, 3, 1], whole)
        assert ([product["id"] for product in back["data"]], back["has_more"]) == (whole[2:5], True)


async def ids(catalogue: Catalogue, query: str) -> list[str]:
    return [product["id"] for product in (await catalogue.everyone.get(f"{PRODUCTS}?{query}")).json["data"]]


async def walk(catalogue: Catalogue, query: str) -> list[list[str]]:
    pages, at, has_more = [], "", True
    while has_more:
        response = (await catalogue.everyone.get(f"{PRODUCTS}?{query}&limit=3{at}")).json
        pages.append([product["id"] for product in response["data"]])
        at, has_more = f"&starting_after={pages[-1][-1]}", response["has_more"]
    return pages


async def test_a_list_refuses_what_it_does_not_know(catalogue: Catalogue) -> None:
    for query in ("sort=size", "limit=101", "colour=red", "min_price=-1", "category=x", "currency=usd"):
        assert (await catalogue.everyone.get(f"{PRODUCTS}?{query}")).status == 422


async def test_stock_that_is_gone_leaves_the_filter(catalogue: Catalogue) -> None:
    made = await catalogue.create(**{**MUG, "stock": 1})
    assert await catalogue.names("in_stock=true") == ["Mug"]

    await catalogue.hear([adjusted(made["variants"][0]["sku"], 0, 2)])

    assert await catalogue.names("in_stock=true") == []


async def test_what_a_search_is_planned_by_is_sampled_as_ever(product_url: str) -> None:
    """Also where the server samples less, as the embedded one does: columns, and what indexes compute."""
    superuser = await asyncpg.connect(product_url)
    rows = await superuser.fetch(SAMPLED)
    await superuser.close()
    assert len(rows) > 30
    assert {row["target"] for row in rows} == {100}
