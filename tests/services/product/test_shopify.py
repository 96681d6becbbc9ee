"""What the rows of a Shopify product file mean: products, variants, images, statuses, tags and descriptions."""

from pathlib import Path

import pytest

from tests.services.product.sheets import products, refusals, run, sheet, warnings
from tradepost.kernel.money import UnknownCurrency
from tradepost.services.product.shopify import ImageDraft, ProductDraft, VariantDraft, Warning_, default_sku, write

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
