"""Products: made, read, changed and archived by staff, seen by everyone."""

import asyncio
from typing import Any

from tests.patience import PATIENCE_S
from tests.services.product.catalogue import MUG, PRODUCTS, Catalogue, opened
from tradepost.kernel.ids import new_id

SIZES = [
    {"sku": "SHIRT-S", "options": {"Size": "S", "Colour": "red"}, "stock": 3},
    {"sku": "SHIRT-M", "options": {"Colour": "red", "Size": "M"}, "price": 2500},
]


async def test_a_product_without_variants_has_one_and_gets_a_handle_and_a_sku(catalogue: Catalogue) -> None:
    response = await catalogue.staff.post(PRODUCTS, {**MUG, "name": "Crème Mug", "stock": 7})

    product = response.json
    assert response.status == 201
    assert product["product_id"] == product["id"]
    assert (product["handle"], product["price"], product["currency"], product["stock"]) == ("creme-mug", 1999, "USD", 7)
    (variant,) = product["variants"]
    assert (variant["sku"], variant["price"], variant["stock"], variant["options"]) == ("CREME-MUG", 1999, 7, {})
    assert await catalogue.events() == [("product.created", 1)]
    assert await catalogue.last_event() == {
        "product_id": product["id"],
        "name": "Crème Mug",
        "status": "active",
        "currency": "USD",
        "variants": [
            {
                "variant_id": variant["id"],
                "sku": "CREME-MUG",
                "price": 1999,
                "name": "Crème Mug",
                "opening_stock": 7,
            }
        ],
    }


async def test_everyone_reads_what_staff_wrote_but_for_the_cost(catalogue: Catalogue) -> None:
    category = (await catalogue.staff.post("/product/categories", {"name": "Wear"})).json
    made = await catalogue.create(
        name="Shirt",
        description="<p onclick='x'>Soft<script>bad()</script></p>",
        vendor="Acme",
        type="Top",
        tags=["Summer", "summer", "new"],
        category_id=category["category_id"],
        images=[{"url": "https://img.test/1.jpg", "alt": "front"}],
        seo={"title": "A shirt"},
        metadata={"care": "cold", "weight": 3, "organic": True},
        variants=[{**SIZES[0], "cost": 500}, {**SIZES[1], "compare_at_price": 3000, "grams": 200}],
    )

    shown = (await catalogue.everyone.get(f"{PRODUCTS}/{made['id']}")).json

    assert shown["description"] == "<p>Soft</p>"
    assert shown["category"] == {"id": category["category_id"], "name": "Wear", "parent_id": None}
    assert shown["tags"] == ["Summer", "new"]
    assert shown["images"] == [{"url": "https://img.test/1.jpg", "alt": "front"}]
    assert shown["seo"] == {"title": "A shirt", "description": ""}
    assert shown["metadata"] == {"care": "cold", "weight": 3, "organic": True}
    assert shown["options"] == [{"name": "Size", "values": ["S", "M"]}, {"name": "Colour", "values": ["red"]}]
    assert [(v["sku"], v["name"], v["price"], v["stock"], v["options"]) for v in shown["variants"]] == [
        ("SHIRT-S", "Shirt (S, red)", 1999, 3, {"Size": "S", "Colour": "red"}),
        ("SHIRT-M", "Shirt (M, red)", 2500, 0, {"Size": "M", "Colour": "red"}),
    ]
    assert (shown["price"], shown["stock"], shown["orderable"]) == (1999, 3, False)
    assert "cost" not in shown["variants"][0]
    assert [variant["cost"] for variant in made["variants"]] == [500, None]


async def test_drafts_and_archived_products_are_for_staff(catalogue: Catalogue) -> None:
    draft = await catalogue.create(status="draft")
    path = f"{PRODUCTS}/{draft['id']}"

    assert (await catalogue.everyone.get(path)).error == (404, "product_not_found")
    assert (await catalogue.staff.get(path)).json["status"] == "draft"
    assert await catalogue.names("") == []
    assert (await catalogue.everyone.get(f"{PRODUCTS}?status=draft")).error == (403, "forbidden")
    assert len((await catalogue.staff.get(f"{PRODUCTS}?status=draft")).json["data"]) == 1
    assert len((await catalogue.staff.get(f"{PRODUCTS}?status=all")).json["data"]) == 1
    assert (await catalogue.everyone.post(PRODUCTS, MUG)).status == 401


async def test_what_can_not_be_a_product_is_refused_with_its_field(catalogue: Catalogue) -> None:
    async def refusal(**fields: Any) -> tuple[int, str, list[str]]:
        response = await catalogue.staff.post(PRODUCTS, {**MUG, **fields})
        return *response.error, response.pointers

    price = {"options": {"Size": "S"}}
    assert await refusal(currency="XXX") == (422, "currency_unknown", ["/currency"])
    assert await refusal(price=19.99) == (422, "invalid_request", ["/price"])
    assert await refusal(price=-1) == (422, "invalid_request", ["/price"])
    assert await refusal(price=None) == (422, "price_required", ["/price"])
    assert await refusal(name=" ") == (422, "invalid_request", ["/name"])
    assert await refusal(colour="red") == (422, "invalid_request", ["/colour"])
    assert await refusal(category_id=new_id()) == (422, "category_unknown", ["/category_id"])
    assert await refusal(stock=1, variants=[price]) == (422, "variants_given", ["/stock"])
    assert await refusal(variants=[price, price]) == (422, "duplicate_options", ["/variants/1/options"])
    assert await refusal(variants=[price, {}]) == (422, "options_differ", ["/variants/1/options"])
    assert await refusal(variants=[{**price, "sku": "A"}, {"options": {"Size": "M"}, "sku": "A"}]) == (
        422,
        "duplicate_sku",
        ["/variants/1/sku"],
    )
    assert await refusal(images=[{"url": "javascript:alert(1)"}]) == (422, "invalid_request", ["/images/0/url"])
    assert await catalogue.db.fetchval("SELECT count(*) FROM product") == 0
    assert await catalogue.events() == []


async def test_a_sku_belongs_to_one_product_even_when_many_ask_at_once(catalogue: Catalogue) -> None:
    bodies = [{**MUG, "name": f"Mug {number}", "sku": "MUG-1"} for number in range(8)]

    responses = await asyncio.gather(*(catalogue.staff.post(PRODUCTS, body) for body in bodies))

    assert sorted(response.status for response in responses) == [201] + [409] * 7
    assert {response.json["error"] for response in responses if response.status == 409} == {"sku_taken"}
    assert await catalogue.events() == [("product.created", 1)]


async def test_products_of_one_name_get_different_handles_and_skus(catalogue: Catalogue) -> None:
    made = await asyncio.gather(*(catalogue.create() for _ in range(3)))

    assert len({product["handle"] for product in made}) == 3
    assert len({product["variants"][0]["sku"] for product in made}) == 3
    response = await catalogue.staff.post(PRODUCTS, {**MUG, "handle": "MUG"})
    assert response.error == (409, "handle_taken")


async def test_the_same_key_makes_one_product(catalogue: Catalogue) -> None:
    first = await catalogue.staff.post(PRODUCTS, MUG, idempotency_key="k")
    again = await catalogue.staff.post(PRODUCTS, MUG, idempotency_key="k")
    other = await catalogue.staff.post(PRODUCTS, {**MUG, "name": "Cup"}, idempotency_key="k")

    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    assert again.headers["etag"] == first.headers["etag"]
    assert other.error == (422, "idempotency_key_reused")
    assert await catalogue.events() == [("product.created", 1)]


async def test_prefer_wait_answers_when_order_has_opened_all_variants(catalogue: Catalogue) -> None:
    asked = asyncio.create_task(catalogue.staff.post(PRODUCTS, {**MUG, "variants": SIZES}, prefer="wait=30"))
    async with asyncio.timeout(PATIENCE_S):
        while not (listed := (await catalogue.everyone.get(PRODUCTS)).json["data"]):
            await asyncio.sleep(0.01)
    one, other = opened(listed[0])
    await catalogue.hear([one])
    done, _ = await asyncio.wait([asked], timeout=0.1)
    assert not done
    await catalogue.hear([other, one])

    async with asyncio.timeout(PATIENCE_S):
        response = await asked
    assert (response.status, response.json["orderable"]) == (201, True)
    assert response.json["version"] == 1
    waited = await catalogue.staff.post(PRODUCTS, {**MUG, "name": "Late"}, prefer="wait=0")
    draft = await catalogue.staff.post(PRODUCTS, {**MUG, "name": "Draft", "status": "draft"}, prefer="wait=30")
    assert [waited.json["orderable"], draft.json["orderable"]] == [False, False]


async def test_a_change_of_price_is_two_events(catalogue: Catalogue) -> None:
    made = await catalogue.create(variants=SIZES)

    response = await catalogue.edit(made["id"], {"name": "Polo", "price": 2500})

    assert [variant["price"] for variant in response.json["variants"]] == [2500, 2500]
    assert (response.json["version"], response.json["name"]) == (3, "Polo")
    assert await catalogue.events() == [("product.created", 1), ("product.updated", 2), ("product.price_changed", 3)]
    changed = await catalogue.last_event()
    assert [(variant["sku"], variant["price"]) for variant in changed["variants"]] == [("SHIRT-S", 2500)]


async def test_a_patch_that_changes_nothing_publishes_nothing(catalogue: Catalogue) -> None:
    made = await catalogue.create(variants=SIZES, metadata={"a": 1.0, "b": 2})

    body = {"name": "Mug", "metadata": {"b": 2, "c": None}, "variants": [{"sku": "SHIRT-S"}, {"sku": "SHIRT-M"}]}
    response = await catalogue.edit(made["id"], body)

    assert (response.status, response.json["version"]) == (200, 1)
    assert await catalogue.events() == [("product.created", 1)]


async def test_the_variants_of_a_patch_are_all_there_are(catalogue: Catalogue) -> None:
    made = await catalogue.create(variants=SIZES)
    small, medium = made["variants"]

    response = await catalogue.edit(
        made["id"],
        {
            "variants": [
                {"id": medium["id"], "barcode": "123"},
                {"id": small["id"], "sku": "SHIRT-XS", "options": {"Size": "XS", "Colour": "red"}, "stock": 4},
                {"options": {"Size": "L", "Colour": "red"}, "price": 2700},
            ]
        },
    )

    same, another, new = response.json["variants"]
    assert (same["id"], same["price"], same["barcode"]) == (medium["id"], 2500, "123")
    assert (another["sku"], another["price"], another["stock"]) == ("SHIRT-XS", 1999, 4)
    assert another["id"] != small["id"]
    assert (new["sku"], new["price"]) == ("MUG-L-RED", 2700)
    told = {variant["sku"]: variant.get("opening_stock") for variant in (await catalogue.last_event())["variants"]}
    assert told == {"SHIRT-M": None, "SHIRT-XS": 4, "MUG-L-RED": None}
    refused = await catalogue.edit(made["id"], {"variants": [{"id": same["id"], "stock": 1}]})
    assert (refused.error, refused.pointers) == ((422, "stock_not_opening"), ["/variants/0/stock"])
    refused = await catalogue.edit(made["id"], {"variants": []})
    assert refused.status == 422


async def test_null_and_unset_differ(catalogue: Catalogue) -> None:
    category = (await catalogue.staff.post("/product/categories", {"name": "Wear"})).json["id"]
    made = await catalogue.create(category_id=category, description="Text", metadata={"a": "1", "b": "2"})

    kept = (await catalogue.edit(made["id"], {"vendor": "Acme", "metadata": {"a": None}})).json
    gone = (await catalogue.edit(made["id"], {"category_id": None, "description": None})).json

    assert (kept["category"]["id"], kept["description"], kept["metadata"]) == (category, "Text", {"b": "2"})
    assert (gone["category"], gone["description"], gone["vendor"]) == (None, "", "Acme")


async def test_another_currency_needs_new_prices(catalogue: Catalogue) -> None:
    made = await catalogue.create()

    refused = await catalogue.edit(made["id"], {"currency": "EUR"})
    changed = await catalogue.edit(made["id"], {"currency": "EUR", "price": 1999})

    assert (refused.error, refused.pointers) == ((422, "price_required"), ["/price"])
    assert (changed.json["currency"], changed.json["version"]) == ("EUR", 3)


async def test_a_stale_write_is_refused_and_a_sale_does_not_make_it_stale(catalogue: Catalogue) -> None:
    made = await catalogue.create()
    path = f"{PRODUCTS}/{made['id']}"
    seen = (await catalogue.everyone.get(path)).headers["etag"]
    await catalogue.hear(opened(made))

    assert (await catalogue.everyone.get(path)).headers["etag"] != seen
    assert (await catalogue.edit(made["id"], {"vendor": "Acme"}, if_match=seen)).status == 200
    assert (await catalogue.edit(made["id"], {"vendor": "Zeta"}, if_match=seen)).error == (412, "stale_version")
    assert (await catalogue.change("DELETE", path, if_match='"1"')).error == (412, "stale_version")
    assert (await catalogue.edit(made["id"], {"vendor": "Acme"}, if_match='"2"')).status == 200
    fresh = (await catalogue.everyone.get(path)).headers["etag"]
    assert (await catalogue.everyone.get(path, if_none_match=fresh)).status == 304
    assert await catalogue.events() == [("product.created", 1), ("product.updated", 2)]


async def test_delete_archives_once_and_a_patch_brings_back(catalogue: Catalogue) -> None:
    made = await catalogue.create()
    path = f"{PRODUCTS}/{made['id']}"

    assert [(await catalogue.change("DELETE", path)).status for _ in range(2)] == [204, 204]
    assert (await catalogue.everyone.get(path)).status == 404
    assert (await catalogue.edit(made["id"], {"status": "active"})).json["status"] == "active"
    assert (await catalogue.edit(made["id"], {"status": "archived"})).status == 200
    assert await catalogue.events() == [
        ("product.created", 1),
        ("product.archived", 2),
        ("product.updated", 3),
        ("product.archived", 4),
    ]
    assert (await catalogue.change("DELETE", f"{PRODUCTS}/{new_id()}")).error == (404, "product_not_found")


async def test_a_taken_sku_or_handle_leaves_the_product_as_it_was(catalogue: Catalogue) -> None:
    await catalogue.create(sku="MUG-1", handle="mug")
    cup = await catalogue.create(name="Cup", sku="CUP-1")

    assert (await catalogue.edit(cup["id"], {"variants": [{"sku": "MUG-1"}]})).error == (422, "price_required")
    assert (await catalogue.edit(cup["id"], {"variants": [{"sku": "MUG-1", "price": 1}]})).error == (409, "sku_taken")
    assert (await catalogue.edit(cup["id"], {"handle": "Mug"})).error == (409, "handle_taken")
    assert (await catalogue.staff.get(f"{PRODUCTS}/{cup['id']}")).json["version"] == 1
