"""What holds for every product file: nothing is lost on the way out and in, and no cut of the bytes matters."""

import csv
import io
from collections import Counter
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradepost.kernel.money import CURRENCIES, MAX_AMOUNT
from tradepost.services.product.shopify import (
    CsvError,
    ImageDraft,
    ProductDraft,
    Reader,
    Rejection,
    VariantDraft,
    Warning_,
    assemble,
    read,
    write,
)
from tradepost.services.product.shopify.drafts import MAX_QUANTITY
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.sanitise import sanitise

amounts = st.integers(0, MAX_AMOUNT)
counts = st.integers(0, MAX_QUANTITY - 1)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
).map(str.strip)
names = words.filter(bool)
optional = st.none() | names.filter(lambda text: not text.startswith("'"))
urls = st.from_regex(r"https?://[a-z]{1,8}\.example/[a-z0-9,=]{0,9}", fullmatch=True)


@st.composite
def products(draw: st.DrawFn, handle: str, currency: str) -> ProductDraft:
    options = tuple(draw(st.lists(names, max_size=3, unique_by=str.lower).filter(_no_title)))
    values = st.tuples(*[names for _ in options])
    combinations = draw(st.lists(values, min_size=1, max_size=4 if options else 1, unique=True))
    tags = st.lists(names.filter(lambda tag: "," not in tag), max_size=3, unique_by=str.lower)
    images = draw(st.lists(urls, max_size=6, unique=True))
    return ProductDraft(
        handle=handle,
        title=draw(names),
        currency=currency,
        options=options,
        variants=tuple(draw(variants(values, f"{handle}={at}")) for at, values in enumerate(combinations)),
        images=tuple(ImageDraft(url, at, draw(words)) for at, url in enumerate(images, 1)),
        description_html=draw(st.text("<>/pbai&\"', \n\r=é", max_size=60).map(lambda t: sanitise(sanitise(t)).strip())),
        vendor=draw(words),
        category=draw(words),
        type=draw(words),
        tags=tuple(draw(tags)),
        status=draw(st.sampled_from(["active", "draft", "archived"])),
        gift_card=draw(st.booleans()),
        seo_title=draw(words),
        seo_description=draw(words),
    )


def _no_title(options: list[str]) -> bool:
    return "title" not in map(str.lower, options)


def variants(options: tuple[str, ...], sku: str) -> st.SearchStrategy[VariantDraft]:
    return st.builds(
        VariantDraft,
        options=st.just(options),
        price=amounts,
        sku=st.sampled_from([None, sku]),
        barcode=optional,
        compare_at_price=st.none() | amounts,
        cost=st.none() | amounts,
        quantity=st.none() | counts,
        continue_selling=st.booleans(),
        grams=st.none() | counts,
        weight_unit=st.sampled_from(["", "g", "kg", "lb", "oz"]),
        requires_shipping=st.booleans(),
        taxable=st.booleans(),
        image_url=st.none() | urls,
        line=st.just(0),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> list[ProductDraft]:
    currency = draw(st.sampled_from(sorted(CURRENCIES)))
    handles = draw(st.lists(st.from_regex(r"[a-z0-9é-]{1,12}", fullmatch=True), max_size=4, unique=True))
    return [draw(products(handle, currency)) for handle in handles]


def bare(draft: ProductDraft) -> ProductDraft:
    """Without the line numbers, which only reading gives."""
    return type(draft)(
        **{
            **{name: getattr(draft, name) for name in draft.__struct_fields__},
            "variants": tuple(
                VariantDraft(**{**{n: getattr(v, n) for n in v.__struct_fields__}, "line": 0}) for v in draft.variants
            ),
            "line": 0,
            "lines": (),
        }
    )


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(catalogues())
def test_what_was_written_is_read_again(catalogue: list[ProductDraft]) -> None:
    data = "".join(write(catalogue)).encode()

    found = list(assemble(read([data]), catalogue[0].currency if catalogue else "USD"))

    assert [bare(item) if isinstance(item, ProductDraft) else item for item in found] == catalogue


pieces = st.lists(
    st.sampled_from(
        [
            b"mug",
            b"cup",
            b"Mug",
            b",",
            b",",
            b",",
            b"8",
            b'"',
            b'"',
            b'""',
            b"\n",
            b"\r\n",
            b"\r",
            b"\xff",
            b"\xc3",
            b"\xa9",
            b"\0",
        ]
    ),
    max_size=60,
).map(b"".join)
HEADERS = (b"Handle,Title,Price\n", b'\xef\xbb\xbf"Title","URL handle",Price\r\n', b"Handle,Title,Price\r", b"")


@given(st.sampled_from(HEADERS), pieces, st.lists(st.integers(0, 200), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(header: bytes, body: bytes, cuts: list[int]) -> None:
    data = header + body
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[a:b] for a, b in pairwise(edges)]
    single = [data[at : at + 1] for at in range(len(data))]

    assert outcome(parts) == outcome([data]) == outcome(single)


def outcome(chunks: list[bytes]) -> object:
    reader = Reader()
    try:
        return [item for chunk in chunks for item in reader.feed(chunk)] + reader.close()
    except CsvError as error:
        return error.error


rows = st.lists(
    st.tuples(
        st.sampled_from(["mug", "cup", "MUG", "", "a b"]),
        st.sampled_from(["Mug", "", "", "Cup"]),
        st.sampled_from(["Size", "", "", "Title"]),
        st.sampled_from(["S", "M", "", "Default Title"]),
        st.sampled_from(["8", "8", "x", ""]),
        st.sampled_from(["A", "B", "", ""]),
        st.sampled_from(["https://e.com/1", "", "ftp://x"]),
    ),
    max_size=25,
)


@given(rows)
def test_each_row_is_in_one_draft_or_one_rejection_and_all_come_in_file_order(body: list[tuple[str, ...]]) -> None:
    buffer = io.StringIO()
    header = ("Handle", "Title", "Option1 name", "Option1 value", "Price", "SKU", "Image Src")
    csv.writer(buffer).writerows([header, *body])

    found = list(assemble(read([buffer.getvalue().encode()]), "USD"))

    lines = Counter(
        line
        for item in found
        if not isinstance(item, Warning_)
        for line in (item.lines if isinstance(item, ProductDraft) else (item.line,))
    )
    assert lines == Counter(at for at, row in enumerate(body, 2) if any(row))
    starts = [item.line for item in found]
    assert starts == sorted(starts)
    skus = [variant.sku for item in found if isinstance(item, ProductDraft) for variant in item.variants if variant.sku]
    assert len(skus) == len(set(skus))


@given(pieces)
def test_a_well_formed_row_after_any_rubbish_is_found(rubbish: bytes) -> None:
    data = b"Handle,Title,Price\n" + rubbish + b"\n\nlast,Last,9\n"

    items = list(read([data]))

    assert all(isinstance(item, Row | Rejection) for item in items)
    assert items[-1] == next(item for item in items if isinstance(item, Row) and item.handle == "last")


@given(st.text("<>/abpsi=\"' &;:jvr(){}ü\n", max_size=80))
def test_cleaning_html_twice_changes_nothing_more(html: str) -> None:
    once = sanitise(sanitise(html))

    assert sanitise(once) == once
