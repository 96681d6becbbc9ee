"""The rules of the catalogue, without a database."""

import re
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.http import openapi
from tradepost.services.product import service
from tradepost.services.product.domain.category import path_of
from tradepost.services.product.domain.filing import draft_of, filed
from tradepost.services.product.domain.naming import slug, with_skus
from tradepost.services.product.domain.product import Change, Product, publish
from tradepost.services.product.shopify import ProductDraft, VariantDraft

_SIZES = st.sampled_from("SMLX")


@st.composite
def drafts(draw: st.DrawFn) -> ProductDraft:
    """Versions of one product: with the same option or none, some variants with SKUs from a small choice."""
    has_options = draw(st.booleans())
    options = draw(st.lists(_SIZES, min_size=1, max_size=4, unique=True)) if has_options else [""]
    skus = iter(draw(st.lists(st.sampled_from("ABCDE"), max_size=5, unique=True)))
    variants = tuple(
        VariantDraft(
            options=(size,) if has_options else (),
            price=draw(st.integers(0, 3)),
            sku=next(skus, None) if draw(st.booleans()) else None,
            quantity=draw(st.none() | st.integers(0, 2)),
        )
        for size in options
    )
    return ProductDraft(
        handle="p",
        title=draw(st.sampled_from(["P", "Q"])),
        currency="USD",
        variants=variants,
        options=("Size",) if has_options else (),
        status=draw(st.sampled_from(["active", "draft", "archived"])),
    )


@given(st.lists(drafts(), min_size=1, max_size=5))
def test_whatever_files_say_the_product_is_sound_its_versions_gapless_and_the_last_file_again_is_no_news(
    files: list[ProductDraft],
) -> None:
    numbers = count()
    product: Product | None = None
    told = 0
    for draft in files:
        change = filed(draft, product, None, lambda: f"id-{next(numbers)}")
        published = publish(Change(product, with_skus(change.after, {}), change.opening))
        known = {variant.id for variant in product.variants} if product else set()
        if published is None:
            continue
        told += len(published.facts)
        assert published.after.version == told
        assert published.facts[-1].key == published.after.id
        assert not known & change.opening.keys()
        product = published.after
        assert len({variant.sku for variant in product.variants}) == len(product.variants)
        assert len({variant.options for variant in product.variants}) == len(product.variants)
        assert {len(variant.options) for variant in product.variants} == {len(product.options)}
        for wanted, variant in zip(draft.variants, product.variants, strict=False):
            assert (variant.options, variant.price) == (wanted.options, wanted.price)
            assert wanted.sku in (None, variant.sku)

    assert product is not None
    for again in (files[-1], draft_of(product, "", {})):
        change = filed(again, product, None, lambda: f"id-{next(numbers)}")
        assert publish(Change(product, with_skus(change.after, {}), change.opening)) is None


@given(st.text(max_size=300))
def test_a_slug_can_stand_in_a_url(name: str) -> None:
    made = slug(name)

    assert 1 <= len(made) <= 100
    assert re.fullmatch(r"[\w-]+", made)
    assert made == made.strip("-")


def test_slugs() -> None:
    assert slug("Crème brûlée, 2 pcs") == "creme-brulee-2-pcs"
    assert slug("茶 杯") == "茶-杯"
    assert slug("!?") == "product"


def test_a_path_of_categories_is_cut_into_names() -> None:
    assert path_of(" Home >Kitchen > > Mugs ") == ("Home", "Kitchen", "Mugs")
    assert path_of("") == ()
    assert len(path_of(" > ".join("x" * 30))) == 20


def test_every_endpoint_is_documented() -> None:
    paths = openapi.document(service.endpoints, "Product", "1")["paths"]

    assert len([1 for methods in paths.values() for _ in methods]) == 12
