"""Product files in and out."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.conftest import SHARED
from tests.services.product.catalogue import PRODUCTS, Catalogue, adjusted

HEADER = (
    "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Product Category,Status"
)
SHIRT = """
shirt,Shirt,Size,S,SHIRT-S,19.99,3,Wear > Tops,active
shirt,,,M,SHIRT-M,24.50,4,,
mug,Mug,Title,Default Title,,5,,Home,draft
"""


def file(rows: str, header: str = HEADER) -> bytes:
    return f"{header}\n{rows.strip()}\n".encode()


def sums(summary: dict[str, Any]) -> dict[str, Any]:
    """What is not zero."""
    return {name: count for name, count in summary.items() if count and name != "stock"}


async def products(catalogue: Catalogue) -> dict[str, Any]:
    listed = (await catalogue.staff.get(f"{PRODUCTS}?status=all&limit=100")).json["data"]
    return {product["handle"]: product for product in listed}


async def test_a_file_becomes_products_with_categories_and_opening_stock(catalogue: Catalogue) -> None:
    summary, lines = await catalogue.import_(file(SHIRT))

    assert sums(summary) == {"rows": 3, "products": 2, "products_created": 2, "rows_created": 3}
    assert lines == []
    made = await products(catalogue)
    shirt, mug = made["shirt"], made["mug"]
    assert [(v["sku"], v["price"], v["stock"], v["options"]) for v in shirt["variants"]] == [
        ("SHIRT-S", 1999, 3, {"Size": "S"}),
        ("SHIRT-M", 2450, 4, {"Size": "M"}),
    ]
    assert (shirt["currency"], shirt["category"]["name"], mug["status"]) == ("USD", "Tops", "draft")
    assert [(v["sku"], v["price"], v["options"]) for v in mug["variants"]] == [("MUG", 500, {})]
    told = [msgspec.json.decode(row["data"]) for row in await catalogue.db.fetch("SELECT data FROM event ORDER BY id")]
    assert [[variant["opening_stock"] for variant in fact["variants"]] for fact in told] == [[3, 4], [None]]


async def test_the_same_file_again_changes_and_publishes_nothing(catalogue: Catalogue) -> None:
    await catalogue.import_(file(SHIRT))
    before, events = await products(catalogue), await catalogue.events()
    await catalogue.hear([adjusted("SHIRT-S", 1, 5)])

    summary, _ = await catalogue.import_(file(SHIRT), cut=7)

    assert sums(summary) == {"rows": 3, "products": 2, "products_unchanged": 2, "rows_unchanged": 3}
    assert await catalogue.events() == events
    after = await products(catalogue)
    assert after["shirt"]["variants"][0]["stock"] == 1
    assert after["mug"] == before["mug"]


async def test_a_dry_run_tells_everything_and_does_nothing(catalogue: Catalogue) -> None:
    await catalogue.import_(file("mug,Mug,,,MUG,4,,,draft"))

    summary, _ = await catalogue.import_(file(SHIRT), "dry_run=true")

    expected = {"products_created": 1, "products_updated": 1, "rows_created": 2, "rows_updated": 1, "dry_run": True}
    assert sums(summary) == {"rows": 3, "products": 2, **expected}
    assert list(await products(catalogue)) == ["mug"]
    assert await catalogue.db.fetchval("SELECT count(*) FROM category") == 0
    assert await catalogue.events() == [("product.created", 1)]


async def test_a_changed_row_updates_its_product_alone(catalogue: Catalogue) -> None:
    await catalogue.import_(file(SHIRT))
    before = await products(catalogue)

    summary, _ = await catalogue.import_(file(SHIRT.replace("24.50", "25").replace("SHIRT-M,25,4", "SHIRT-M,25,9")))

    assert sums(summary) == {
        "rows": 3,
        "products": 2,
        "products_updated": 1,
        "products_unchanged": 1,
        "rows_updated": 2,
        "rows_unchanged": 1,
    }
    after = await products(catalogue)
    assert [(v["price"], v["stock"]) for v in after["shirt"]["variants"]] == [(1999, 3), (2500, 4)]
    assert [v["id"] for v in after["shirt"]["variants"]] == [v["id"] for v in before["shirt"]["variants"]]
    assert (await catalogue.events())[2:] == [("product.updated", 2), ("product.price_changed", 3)]


async def test_variants_are_known_by_sku_then_by_options_and_others_stay(catalogue: Catalogue) -> None:
    await catalogue.import_(file(SHIRT))
    before = (await products(catalogue))["shirt"]["variants"]

    await catalogue.import_(file("shirt,Shirt,Size,Small,SHIRT-S,19.99,,,\nshirt,,,L,SHIRT-L,30,6,,"))
    small, large, medium = (await products(catalogue))["shirt"]["variants"]
    await catalogue.import_(file("shirt,Shirt,Size,L,SHIRT-LARGE,30,8,,"))
    replaced = (await products(catalogue))["shirt"]["variants"]
    await catalogue.import_(file("shirt,Shirt,Title,Default Title,ONE,30,,,"))
    (only,) = (await products(catalogue))["shirt"]["variants"]

    assert (small["id"], small["options"], medium["id"]) == (before[0]["id"], {"Size": "Small"}, before[1]["id"])
    assert (large["sku"], large["stock"]) == ("SHIRT-L", 6)
    assert [v["sku"] for v in replaced] == ["SHIRT-LARGE", "SHIRT-S", "SHIRT-M"]
    assert replaced[0]["id"] != large["id"]
    assert (only["sku"], only["options"]) == ("ONE", {})


async def test_a_sku_of_another_product_costs_its_row(catalogue: Catalogue) -> None:
    await catalogue.create(name="Polo", sku="SHIRT-M")

    summary, lines = await catalogue.import_(file(SHIRT + "cap,Cap,,,SHIRT-M,1,,,"))

    assert sums(summary) == {
        "rows": 4,
        "products": 3,
        "products_created": 2,
        "products_rejected": 1,
        "rows_created": 2,
        "rows_rejected": 2,
    }
    assert [(line["line"], line["handle"], line["kind"], line["reason"]) for line in lines] == [
        (5, "cap", "rejection", "duplicate_sku"),
        (3, "shirt", "rejection", "sku_taken"),
    ]
    assert "'polo'" in lines[1]["detail"]
    assert [v["sku"] for v in (await products(catalogue))["shirt"]["variants"]] == ["SHIRT-S"]
    _, lines = await catalogue.import_(file("cap,Cap,,,SHIRT-M,1,,,\ncap,,,,,,,,"))
    assert [(line["line"], line["reason"]) for line in lines] == [(3, "row_without_content"), (2, "sku_taken")]
    assert "cap" not in await products(catalogue)


async def test_a_file_in_another_currency_does_not_reprice(catalogue: Catalogue) -> None:
    await catalogue.import_(file(SHIRT), "currency=EUR")
    events = await catalogue.events()

    summary, lines = await catalogue.import_(file(SHIRT))

    assert sums(summary) == {"rows": 3, "products": 2, "products_rejected": 2, "rows_rejected": 3}
    assert {line["reason"] for line in lines} == {"currency_differs"}
    assert await catalogue.events() == events
    assert {product["currency"] for product in (await products(catalogue)).values()} == {"EUR"}


async def test_bad_rows_are_told_and_the_others_taken(catalogue: Catalogue) -> None:
    rows = "a,A,,,,x,,,\nb,B,,,,1,-3,,\n,C,,,,1,,,\na,A,,,,1,,,\nd,D,,,,2,,,"

    summary, lines = await catalogue.import_(file(rows))

    assert [(line["line"], line["kind"], line["reason"]) for line in lines] == [
        (2, "rejection", "price_malformed"),
        (3, "warning", "quantity_negative"),
        (4, "rejection", "handle_missing"),
        (5, "rejection", "duplicate_handle"),
    ]
    assert sums(summary) == {
        "rows": 5,
        "products": 3,
        "products_created": 2,
        "products_rejected": 1,
        "rows_created": 2,
        "rows_rejected": 3,
        "warnings": 1,
    }
    assert set(await products(catalogue)) == {"b", "d"}


async def test_what_is_no_product_file_is_refused_before_anything_is_sent(catalogue: Catalogue) -> None:
    async def send(data: bytes, query: str = "", kind: str = "text/csv") -> Any:
        return await catalogue.staff.call("POST", f"/product/imports?{query}", [data], {"content-type": kind})

    async def told(data: bytes, query: str = "") -> Any:
        answer = await send(data, query)
        return *answer.error, answer.pointers

    assert await told(b"") == (422, "csv_empty", [""])
    assert await told(b"a,b\n1,2\n") == (422, "csv_headers", ["/Title", "/URL handle"])
    assert await told(b"Title,Handle,URL handle\n") == (422, "csv_headers", ["/URL handle"])
    assert await told(file(SHIRT), "currency=XXX") == (422, "currency_unknown", ["?currency"])
    assert (await send(file(SHIRT), kind="application/json")).error == (415, "unsupported_media_type")
    assert (await catalogue.everyone.call("POST", "/product/imports", [file(SHIRT)])).status == 401
    assert await products(catalogue) == {}


async def test_an_upload_that_breaks_off_ends_without_a_summary(catalogue: Catalogue) -> None:
    data = file("".join(f"p{n},P,,,,1,,,\n" for n in range(900)))
    kind = {"content-type": "text/csv"}
    response = await catalogue.staff.call("POST", "/product/imports", [data[:10_000], data[10_000:], None], kind)

    last = msgspec.json.decode(response.body.splitlines()[-1])
    assert last["failure"]["error"] == "incomplete_body"
    done = last["failure"]["products_created"]
    assert done == await catalogue.db.fetchval("SELECT count(*) FROM product")
    summary, _ = await catalogue.import_(data)
    assert (summary["products_unchanged"], summary["products_created"]) == (done, 900 - done)


async def test_a_long_file_tells_how_far_it_is(catalogue: Catalogue) -> None:
    summary, lines = await catalogue.import_(file("".join(f"p{n},P,,,,1,,,\n" for n in range(2100))), "dry_run=true")

    assert [line["progress"]["rows"] for line in lines] == [1000, 2000]
    assert summary["products_created"] == 2100


async def test_two_imports_at_once_make_each_product_once(catalogue: Catalogue) -> None:
    data = file("".join(f"p{n},P,,,SKU-{n},1,,Home > Shelf {n % 3},\n" for n in range(450)))

    results = await asyncio.gather(*(catalogue.import_(data) for _ in range(3)))

    assert sum(summary["products_created"] for summary, _ in results) == 450
    assert sum(summary["products_unchanged"] for summary, _ in results) == 900
    assert len(await catalogue.events()) == 450
    assert await catalogue.db.fetchval("SELECT count(*) FROM category") == 4


async def test_generated_skus_keep_away_from_those_that_the_file_names(catalogue: Catalogue) -> None:
    rows = "a,A,Size,b,,1,,,\nx,X,,,A-B,1,,,\na-b,AB,,,,1,,,"

    await catalogue.import_(file(rows))
    first = await products(catalogue)
    summary, _ = await catalogue.import_(file(rows))

    assert first["x"]["variants"][0]["sku"] == "A-B"
    made = {first[handle]["variants"][0]["sku"] for handle in ("a", "a-b")}
    assert len(made) == 2
    assert all(sku.startswith("A-B-") for sku in made)
    assert summary["products_unchanged"] == 3


@pytest.mark.parametrize("name", ["shopify-apparel.csv", "shopify-home-and-garden.csv"])
async def test_what_was_exported_is_imported_unchanged(catalogue: Catalogue, name: str) -> None:
    if not (path := SHARED / "data" / name).exists():
        pytest.skip("the sample files are not here")
    summary, _ = await catalogue.import_(path.read_bytes())
    assert summary["products_created"] > 10
    await catalogue.create(
        name="Crème, “fine”",
        description="<p>Line\n\nbreak & <b>bold</b></p>",
        variants=[{"options": {"Größe": "M, slim"}, "barcode": "0123", "cost": 5, "weight_unit": "kg", "grams": 10}],
        images=[{"url": "https://img.test/2.jpg"}, {"url": "https://img.test/1.jpg", "alt": '"x"'}],
        tags=["a b", "c"],
        metadata={"kept": "1"},
        status="draft",
    )
    await catalogue.create(name="Yen", currency="JPY", price=500)
    events = await catalogue.events()

    out = await catalogue.export("currency=USD")
    again, lines = await catalogue.import_(out)

    assert out.startswith(b"Title,URL handle,Description")
    assert lines == []
    assert again["products_unchanged"] == again["products"] == summary["products_created"] + 1
    assert b"Yen" not in out
    assert b"Yen" in await catalogue.export()
    assert await catalogue.events() == events


async def test_an_export_reads_page_by_page(catalogue: Catalogue) -> None:
    await catalogue.import_(file("".join(f"p{n},P,,,,1,,Home,\n" for n in range(450))))
    before = catalogue.db.statements

    out = await catalogue.export()

    assert len(out.splitlines()) == 451
    assert catalogue.db.statements - before == 3 * 3 + 1
    assert (await catalogue.everyone.get("/product/exports")).status == 401
