"""What a bad row of a Shopify product file costs: itself, with a stable reason, and what cannot stand without it."""

import pytest

from tests.services.product.sheets import VARIANTS, products, refusals, sheet, warnings
from tradepost.services.product.shopify import REASONS, WARNINGS, ProductDraft, Rejection


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
    ("column", "field"),
    [("Price", "price"), ("Compare-at price", "compare_at_price"), ("Cost per item", "cost")],
)
@pytest.mark.parametrize(
    ("text", "fault"), [("x", "malformed"), ("-2", "negative"), ("0.001", "too_precise"), ("9" * 17, "too_large")]
)
def test_each_amount_is_refused_under_its_own_name(column: str, field: str, text: str, fault: str) -> None:
    row = {"Handle": "mug", "Title": "Mug", "Price": "8"} | {column: text}

    assert refusals(sheet(",".join(row), ",".join(row.values()))) == [(2, "mug", f"{field}_{fault}")]


@pytest.mark.parametrize(
    ("header", "cell", "reason"),
    [
        ("Inventory quantity", "3.5", "quantity_invalid"),
        ("Inventory quantity", "many", "quantity_invalid"),
        ("Inventory quantity", "9999999999", "quantity_too_large"),
        ("Variant Grams", "-3", "weight_invalid"),
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


def test_a_product_is_limited_in_rows_variants_and_images() -> None:
    many = [f"tee,,,{n},5,,," for n in range(2048)]
    images = [f"tee,,,,,,,https://e.com/{n}.jpg" for n in range(251)]
    found = sheet(VARIANTS, "tee,Tee,Size,S,5,,,", *many, *images, *["tee,,,S,5,,,"] * 1796, "tee,,,XS,5,,,")

    draft = next(item for item in found if isinstance(item, ProductDraft))
    assert (len(draft.variants), len(draft.images)) == (2048, 250)
    reasons = {reason for _, _, reason in refusals(found)}
    assert reasons == {"too_many_variants", "too_many_images", "duplicate_options", "too_many_rows"}


def test_every_code_given_here_is_listed() -> None:
    found = sheet(VARIANTS + ",Weather", "a b,,,,,,,,", "mug,Mug,,,x,,-1,x,")

    assert {reason for _, _, reason in refusals(found)} <= REASONS
    assert {code for _, code in warnings(found)} <= WARNINGS


def test_a_rejected_row_shows_at_most_the_beginning_of_a_cell() -> None:
    (found,) = sheet("Handle,Title,Price,Status", "mug,Mug,8," + "x" * 100_000)

    assert isinstance(found, Rejection)
    assert len(found.detail) < 200


def test_an_unknown_weight_unit_is_a_warning() -> None:
    assert warnings(sheet("Handle,Title,Price,Variant Weight Unit", "mug,Mug,8,stone")) == [(2, "weight_unit_unknown")]


def test_an_unlisted_product_becomes_a_draft_with_a_warning() -> None:
    assert warnings(sheet("Handle,Title,Price,Status", "mug,Mug,8,unlisted")) == [(2, "status_unlisted")]
