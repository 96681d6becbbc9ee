"""What the rows of a Shopify product file mean: products, variants, images, and a reason for each row left out."""

from pathlib import Path

import pytest

from tradepost.kernel.money import UnknownCurrency
from tradepost.services.product.shopify import (
    REASONS,
    WARNINGS,
    Assembled,
    ImageDraft,
    ProductDraft,
    Rejection,
    VariantDraft,
    Warning_,
    assemble,
    default_sku,
    read,
    write,
)

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

LEGACY = b"""Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,\
Variant SKU,Variant Grams,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,\
Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,Image Position,Image Alt Text,Gift Card,SEO Title,\
SEO Description,Variant Image,Variant Weight Unit,Cost per item
tee,Tee,<p>Soft</p>,Acme,Shirts,"red, men",true,Size,S,Color,Red,TEE-S,180.5,3,deny,19.99,25,true,true,'0123,\
https://e.com/1.jpg,1,Front,false,Tee | Acme,A tee,https://e.com/s.jpg,kg,7.5
tee,,,,,,,,M,,Red,TEE-M,180,-2,continue,19.99,,false,false,,,,,,,,,g,
tee,,,,,,,,,,,,,,,,,,,,https://e.com/2.jpg,2,Back,,,,,,
mug,Mug,,,,,false,Title,Default Title,,,,,,deny,8,,,,,,,,,,,,,
"""

CURRENT = b"""Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,\
Barcode,Option1 name,Option1 value,Price,Compare-at price,Cost per item,Charge tax,Inventory quantity,\
Continue selling when out of stock,Weight value (grams),Weight unit for display,Requires shipping,Product image URL,\
Image position,Image alt text,Variant image URL,Gift card,SEO title,SEO description
Card,card,Gift,Acme,Gift Cards,Cards,,TRUE,Archived,CARD-10,,Value,10,10.00,,,FALSE,,DENY,,,FALSE,,,,,TRUE,,
,card,,,,,,,,CARD-20,,,20,20.00,,,FALSE,7,DENY,,,FALSE,,,,,,,
"""


def run(data: bytes, currency: str = "USD") -> list[Assembled]:
    return list(assemble(read([data]), currency))


def sheet(header: str, *rows: str) -> list[Assembled]:
    return run("\n".join([header, *rows]).encode())


def products(header: str, *rows: str) -> list[ProductDraft]:
    return [item for item in sheet(header, *rows) if isinstance(item, ProductDraft)]


def refusals(found: list[Assembled]) -> list[tuple[int, str | None, str]]:
    return [(item.line, item.handle, item.reason) for item in found if isinstance(item, Rejection)]


def warnings(found: list[Assembled]) -> list[tuple[int, str]]:
    return [(item.line, item.code) for item in found if isinstance(item, Warning_)]


def test_the_legacy_dialect_is_read() -> None:
    tee, oversold, mug = run(LEGACY)

    assert tee == ProductDraft(
        handle="tee",
        title="Tee",
        currency="USD",
        options=("Size", "Color"),
        variants=(
            VariantDraft(
                ("S", "Red"),
                1999,
                "TEE-S",
                "0123",
                2500,
                750,
                3,
                False,
                181,
                "kg",
                image_url="https://e.com/s.jpg",
                line=2,
            ),
            VariantDraft(*(("M", "Red"), 1999, "TEE-M", None, None, None, 0, True, 180, "g", False, False), line=3),
        ),
        images=(ImageDraft("https://e.com/1.jpg", 1, "Front"), ImageDraft("https://e.com/2.jpg", 2, "Back")),
        description_html="<p>Soft</p>",
        vendor="Acme",
        type="Shirts",
        tags=("red", "men"),
        seo_title="Tee | Acme",
        seo_description="A tee",
        line=2,
        lines=(2, 3, 4),
    )
    assert isinstance(oversold, Warning_)
    assert (oversold.line, oversold.code) == (3, "quantity_negative")
    assert mug == ProductDraft(
        "mug", "Mug", "USD", (VariantDraft((), 800, line=5),), status="draft", line=5, lines=(5,)
    )


def test_the_current_dialect_is_read() -> None:
    (card,) = run(CURRENT)

    assert isinstance(card, ProductDraft)
    assert (card.status, card.gift_card, card.category, card.type) == ("archived", True, "Gift Cards", "Cards")
    assert card.options == ("Value",)
    assert [(v.sku, v.price, v.quantity, v.taxable, v.requires_shipping) for v in card.variants] == [
        ("CARD-10", 1000, None, False, False),
        ("CARD-20", 2000, 7, False, False),
    ]


def test_shopifys_own_samples_come_through_whole() -> None:
    samples = sorted(SHARED.glob("shopify-*.csv"))
    if not samples:
        pytest.skip("the samples are not beside this project")

    for sample in samples:
        found = run(sample.read_bytes())
        drafts = [item for item in found if isinstance(item, ProductDraft)]
        assert len(drafts) == 20
        assert refusals(found) == []
        assert sum(len(draft.lines) for draft in drafts) == len(sample.read_text().splitlines()) - 1


def test_prices_are_read_in_the_callers_currency() -> None:
    data = b"Handle,Title,Price\nmug,Mug,1299.00\n"

    assert [draft.variants[0].price for draft in run(data, "JPY") if isinstance(draft, ProductDraft)] == [1299]
    assert [draft.variants[0].price for draft in run(data, "KWD") if isinstance(draft, ProductDraft)] == [1_299_000]
    with pytest.raises(UnknownCurrency):
        run(data, "usd")


VARIANTS = "Handle,Title,Option1 name,Option1 value,Price,SKU,Inventory quantity,Product image URL"


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ('"1,299.00"', "price_malformed"),
        ("$5", "price_malformed"),
        ("1e3", "price_malformed"),
        ("-1", "price_negative"),
        ("9.999", "price_too_precise"),
        ("99999999999999999", "price_too_large"),
        ("", "price_missing"),
    ],
)
def test_a_bad_price_rejects_its_variant_only(price: str, reason: str) -> None:
    found = sheet(VARIANTS, "tee,Tee,Size,S,5,,,", f"tee,,,M,{price},T-M,,", "tee,,,L,5,T-M,,")

    assert refusals(found) == [(3, "tee", reason)]
    assert isinstance(found[0], ProductDraft)
    assert [(variant.options, variant.sku) for variant in found[0].variants] == [(("S",), None), (("L",), "T-M")]
    assert found[0].lines == (2, 4)


@pytest.mark.parametrize(
    ("header", "cell", "reason"),
    [
        ("Inventory quantity", "3.5", "quantity_invalid"),
        ("Inventory quantity", "many", "quantity_invalid"),
        ("Inventory quantity", "9999999999", "quantity_too_large"),
        ("Variant Grams", "-3", "weight_invalid"),
        ("Variant Compare At Price", "x", "compare_at_price_malformed"),
        ("Cost per item", "-2", "cost_negative"),
        ("Charge tax", "maybe", "boolean_invalid"),
        ("Continue selling when out of stock", "perhaps", "boolean_invalid"),
        ("SKU", "x" * 256, "text_too_long"),
        ("Option1 value", "x" * 256, "text_too_long"),
        ("Option1 value", "", "option_value_missing"),
        ("Option1 name", "Colour", "option_name_differs"),
        ("Option2 value", "Red", "option_name_missing"),
    ],
)
def test_a_bad_cell_rejects_its_variant_only(header: str, cell: str, reason: str) -> None:
    names = ["Handle", "Title", "Option1 name", "Option1 value", "Price"]
    row = dict(zip(names, ("tee", "", "", "M", "5"), strict=True)) | {header: cell}
    names = list(row)

    found = sheet(",".join(names), "tee,Tee,Size,S,5" + "," * (len(names) - 5), ",".join(row.values()))

    assert refusals(found) == [(3, "tee", reason)]
    assert isinstance(found[0], ProductDraft)
    assert found[0].lines == (2,)


@pytest.mark.parametrize(
    ("header", "cell", "reason"),
    [
        ("Title", "", "title_missing"),
        ("Title", "x" * 256, "text_too_long"),
        ("Description", f"<p>{'&' * 40_000}</p>", "description_too_long"),
        ("Status", "deleted", "status_invalid"),
        ("Published", "soon", "boolean_invalid"),
        ("Option1 name", "", "option_name_missing"),
        ("Option2 name", "size", "option_name_duplicate"),
    ],
)
def test_a_bad_product_row_rejects_the_product_with_all_its_rows(header: str, cell: str, reason: str) -> None:
    row = {"Handle": "tee", "Title": "Tee", "Option1 name": "Size", "Option1 value": "S", "Price": "5"} | {header: cell}
    rest = "," * (len(row) - 5)

    found = sheet(",".join(row), ",".join(row.values()), f"tee,,,M,5{rest}", f"mug,Mug,,,8{rest}")

    assert refusals(found) == [(2, "tee", reason), (3, "tee", "product_row_rejected")]
    assert [item.handle for item in found if isinstance(item, ProductDraft)] == ["mug"]


def test_a_product_survives_a_bad_variant_in_its_first_row() -> None:
    found = sheet(VARIANTS, "tee,Tee,Size,S,free,,,https://e.com/1.jpg", "tee,,,M,5,,,")

    assert refusals(found) == [(2, "tee", "price_malformed")]
    assert isinstance(found[0], ProductDraft)
    assert (found[0].title, found[0].lines, len(found[0].images)) == ("Tee", (3,), 1)


def test_a_product_without_a_good_variant_is_rejected_with_its_images() -> None:
    found = sheet(VARIANTS, "tee,Tee,,,free,,,", "tee,,,,,,,https://e.com/1.jpg")

    assert refusals(found) == [(2, "tee", "price_malformed"), (3, "tee", "product_without_variants")]
    assert products(VARIANTS, "tee,Tee,,,free,,,") == []


def test_a_handle_that_comes_again_later_is_rejected_naming_its_first_line() -> None:
    found = sheet(VARIANTS, "tee,Tee,,,5,,,", "mug,Mug,,,8,,,", "Tee,,,,,,,https://e.com/1.jpg", "cup,Cup,,,9,,,")

    assert refusals(found) == [(4, "tee", "duplicate_handle")]
    assert "line 2" in next(item.detail for item in found if isinstance(item, Rejection))
    assert [item.handle for item in found if isinstance(item, ProductDraft)] == ["tee", "mug", "cup"]


def test_another_title_under_the_same_handle_is_another_product() -> None:
    found = sheet(VARIANTS, "tee,Tee,Size,S,5,,,", "tee,Tea,Size,M,5,,,", "tee,,,L,5,,,")

    assert refusals(found) == [(3, "tee", "duplicate_handle"), (4, "tee", "duplicate_handle")]


def test_a_repeated_sku_or_option_is_rejected_and_claims_nothing() -> None:
    found = sheet(
        VARIANTS,
        *("tee,Tee,Size,S,5,A,,", "tee,,,S,5,B,,", "tee,,,M,5,A,,", "tee,,,L,5,B,,"),
        "mug,Mug,Title,Default Title,8,A,,",
    )

    assert refusals(found) == [
        (3, "tee", "duplicate_options"),
        (4, "tee", "duplicate_sku"),
        (6, "mug", "duplicate_sku"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Mug,,,8,,,", "handle_missing"),
        ("my mug,Mug,,,8,,,", "handle_invalid"),
        ("a/b,Mug,,,8,,,", "handle_invalid"),
        ("x" * 256 + ",Mug,,,8,,,", "handle_invalid"),
    ],
)
def test_a_row_without_a_usable_handle_is_rejected(row: str, reason: str) -> None:
    assert refusals(sheet(VARIANTS, row, "cup,Cup,,,9,,,")) == [(2, None, reason)]


def test_a_row_of_nothing_but_a_handle_is_rejected() -> None:
    assert refusals(sheet(VARIANTS, "mug,Mug,,,8,,,", "mug,,,,,,,")) == [(3, "mug", "row_without_content")]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://e.com/a.jpg", "/a.jpg", "https://", "https://e.com/a b"])
def test_a_bad_image_costs_its_own_row_but_never_a_variant(url: str) -> None:
    found = sheet(VARIANTS, f"mug,Mug,,,8,,,{url}", f"mug,,,,,,,{url}")

    assert refusals(found) == [(3, "mug", "image_url_invalid")]
    assert warnings(found) == [(2, "image_dropped")]


def test_images_are_ordered_by_position_numbered_without_gaps_and_kept_once() -> None:
    header = "Handle,Title,Price,Image Src,Image Position,Image Alt Text"
    rows = ("m,M,8,http://e/b,7,", "m,,,http://e/a,2,A", "m,,,http://e/c,x,", "m,,,http://e/a,9,")
    found = sheet(header, *rows)

    assert isinstance(found[0], ProductDraft)
    assert found[0].images == (
        ImageDraft("http://e/a", 1, "A"),
        ImageDraft("http://e/c", 2),
        ImageDraft("http://e/b", 3),
    )
    assert warnings(found) == [(4, "image_position_invalid")]


def test_a_product_is_limited_in_rows_variants_and_images() -> None:
    many = [f"tee,,,{n},5,,," for n in range(2048)]
    images = [f"tee,,,,,,,https://e.com/{n}.jpg" for n in range(251)]
    found = sheet(VARIANTS, "tee,Tee,Size,S,5,,,", *many, *images, *["tee,,,S,5,,,"] * 1796, "tee,,,XS,5,,,")

    draft = next(item for item in found if isinstance(item, ProductDraft))
    assert (len(draft.variants), len(draft.images)) == (2048, 250)
    reasons = {reason for _, _, reason in refusals(found)}
    assert reasons == {"too_many_variants", "too_many_images", "duplicate_options", "too_many_rows"}


@pytest.mark.parametrize(
    ("status", "published", "becomes"),
    [
        ("", "", "active"),
        ("Active", "TRUE", "active"),
        ("active", "false", "draft"),
        ("draft", "true", "draft"),
        ("archived", "false", "archived"),
        ("unlisted", "true", "draft"),
    ],
)
def test_status_and_published_together_decide(status: str, published: str, becomes: str) -> None:
    (draft,) = products("Handle,Title,Price,Status,Published", f"mug,Mug,8,{status},{published}")

    assert draft.status == becomes


def test_tags_are_split_and_kept_once() -> None:
    found = sheet("Handle,Title,Price,Tags", 'mug,Mug,8,"Red, blue ,,red,' + "x" * 256 + '"')

    assert isinstance(found[0], ProductDraft)
    assert found[0].tags == ("Red", "blue")
    assert warnings(found) == [(2, "tags_dropped")]


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ("<p onclick=x()>Hi<script>alert(1)</script></p>", "<p>Hi</p>"),
        ('<a href=""javascript:alert(1)"">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ("<a href=https://e.com>x</a>", '<a href="https://e.com" rel="noopener noreferrer">x</a>'),
        ("<img src=x onerror=alert(1)>", '<img src="x">'),
        ("<iframe src=https://e.com></iframe><style>p{}</style>Plain", "Plain"),
        ("No markup at all", "No markup at all"),
    ],
)
def test_descriptions_are_made_harmless(html: str, clean: str) -> None:
    (draft,) = products("Handle,Title,Price,Description", f'mug,Mug,8,"{html}"')

    assert draft.description_html == clean


def test_a_formula_is_exported_as_it_is() -> None:
    draft = ProductDraft("mug", "=1+1", "USD", (VariantDraft((), 800, "-A"),))

    assert "=1+1,mug," in "".join(write([draft]))


def test_a_made_sku_is_ascii_in_capitals_short_and_distinct_where_characters_are_lost() -> None:
    assert default_sku("ocean-shirt") == "OCEAN-SHIRT"
    assert default_sku("ocean-shirt", ("Royal Blue", "1.5")) == "OCEAN-SHIRT-ROYAL-BLUE-1.5"
    made = [default_sku("a", (value,)) for value in ("ä", "日本", "日木", "x" * 80, "x" * 81)]
    assert len(set(made)) == 5
    assert all(sku.isascii() and len(sku) <= 64 and sku == sku.upper() for sku in made)
    assert default_sku("a-b") == default_sku("a", ("b",))
    assert default_sku("a-b", distinct=True) != default_sku("a", ("b",), distinct=True)


def test_every_code_given_here_is_listed() -> None:
    found = run(LEGACY) + sheet(VARIANTS + ",Weather", "a b,,,,,,,,", "mug,Mug,,,x,,-1,x,")

    assert {reason for _, _, reason in refusals(found)} <= REASONS
    assert {code for _, code in warnings(found)} <= WARNINGS
