"""Dirty bytes: what they cost is their own row, under its right line number."""

import csv

import pytest

from tradepost.services.product.shopify import CsvError, ProductDraft, Rejection, Warning_, assemble, read
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.records import MAX_RECORD

HEADER = b"Handle,Title,Price,Description\n"


def rows(data: bytes) -> list[tuple[int, str]]:
    return [(item.line, item.handle) for item in read([data]) if isinstance(item, Row)]


def faults(data: bytes) -> list[tuple[int, str | None, str]]:
    return [(item.line, item.handle, item.reason) for item in read([data]) if isinstance(item, Rejection)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_line_ends_a_byte_order_mark_and_quoted_headers_make_no_difference(
    end: bytes, bom: bytes, quote: bytes
) -> None:
    data = bom + end.join([quote + b"Handle" + quote + b",Title,Price", b"mug,Mug,8", b"", b'cup,"C ""1""",9'])

    assert [(row.line, row.handle, row.title) for row in read([data]) if isinstance(row, Row)] == [
        (2, "mug", "Mug"),
        (4, "cup", 'C "1"'),
    ]


def test_quoted_newlines_stay_in_their_cell_and_count_as_lines() -> None:
    data = HEADER + b'mug,Mug,8,"one\ntwo\r\n\r\nthree"\ncup,Cup,9,x\n'

    assert rows(data) == [(2, "mug"), (6, "cup")]
    assert [row.description for row in read([data]) if isinstance(row, Row)] == ["one\ntwo\r\n\r\nthree", "x"]


def test_headers_match_in_any_order_and_case_with_spaces_around() -> None:
    (row,) = [item for item in read([b" PRICE ,title,\tUrl  Handle\n8,Mug,mug\n"]) if isinstance(item, Row)]

    assert (row.handle, row.title, row.price, row.sku) == ("mug", "Mug", "8", "")


def test_unknown_columns_are_ignored_and_named_once() -> None:
    data = b"Handle,Title,Weather,Price,,Mood\n" + b"mug,Mug,sunny,8,,good\n" * 3

    found = list(read([data]))

    assert found[0] == Warning_(1, None, "columns_ignored", "not read: 'Weather', 'Mood'")
    assert [type(item) for item in found[1:]] == [Row, Row, Row]


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", "csv_empty", "empty"),
        (b"\xef\xbb\xbf\r\n,,\n", "csv_empty", "empty"),
        (
            b"Name,Price\nMug,8\n",
            "csv_headers",
            "no column 'Title' and no column 'URL handle' (or 'Handle'); seen: 'Name'",
        ),
        (b"Title,Price\nMug,8\n", "csv_headers", "no column 'URL handle'"),
        (b"Handle;Title;Price\n", "csv_headers", "separated by commas"),
        (b"Handle,Title,URL handle\n", "csv_headers", "several columns mean the same: 'Handle', 'URL handle'"),
        ("Handle,Title\n".encode("utf-16"), "csv_not_utf8", "UTF-16"),
        ("Handle,Title,Größe\n".encode("latin-1"), "csv_not_utf8", "UTF-8"),
        (b'Handle,"Title\nmug,Mug\n', "csv_malformed", "not closed"),
        (b'Handle,"Title" x\n', "csv_malformed", "comma"),
        (b"Handle,Title," + b"x" * MAX_RECORD, "csv_malformed", "longer"),
    ],
)
def test_a_file_without_usable_headers_is_refused_as_a_whole(data: bytes, code: str, said: str) -> None:
    with pytest.raises(CsvError) as refused:
        list(read([data]))

    assert refused.value.error == code
    assert said in str(refused.value)


def test_a_file_of_headers_only_holds_nothing() -> None:
    assert list(read([HEADER])) == []
    assert list(read([HEADER.strip()])) == []


@pytest.mark.parametrize(
    ("row", "handle", "reason"),
    [
        ("mug,Größe,8,x".encode("latin-1"), "mug", "invalid_utf8"),
        (b"m\xffug,Mug,8,x", None, "invalid_utf8"),
        (b"mug,M\0g,8,x", "mug", "nul_byte"),
        (b"mug,Mug,8", None, "wrong_columns"),
        (b"mug,Mug,8,x,y", None, "wrong_columns"),
        (b"<html>", None, "wrong_columns"),
        (b'mug,"Mug"s,8,x', None, "malformed_quotes"),
        (b"mug,Mug,8," + b"x" * 131_073, None, "field_too_long"),
        (b"mug,Mug,8," + b"x" * 1_000_000, None, "field_too_long"),
        (b"mug,Mug,8," + b"x" * MAX_RECORD, None, "row_too_long"),
        (b'mug,Mug,8,"' + b"x\n" * 100_000 + b'"', None, "field_too_long"),
    ],
)
def test_a_broken_row_is_rejected_and_the_next_one_read(row: bytes, handle: str | None, reason: str) -> None:
    data = HEADER + b"jug,Jug,7,x\n" + row + b"\ncup,Cup,9,x\n"

    assert faults(data) == [(3, handle, reason)]
    assert rows(data) == [(2, "jug"), (4 + row.count(b"\n"), "cup")]


def test_empty_cells_beyond_the_headers_do_no_harm() -> None:
    assert rows(HEADER + b"mug,Mug,8,x,,\n") == [(2, "mug")]


def test_a_replacement_character_that_is_really_in_the_text_is_kept() -> None:
    assert rows(HEADER + "mug,M\ufffdg,8,x\n".encode()) == [(2, "mug")]


def test_a_quote_inside_an_unquoted_cell_is_a_character() -> None:
    data = HEADER + b'nail,5" nail,1,x\nmug,Mug,8,x\n'

    assert [row.title for row in read([data]) if isinstance(row, Row)] == ['5" nail', "Mug"]


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"cup,Cup,9,x\njug,Jug,7,x\n", "unterminated_quote"),
        (b"cup,Cup,9,x\njug,Jug,7,x", "unterminated_quote"),
        (b'cup,Cup,9,x\njug,Jug,7,"a, b"\n', "malformed_quotes"),
        (b'cup,Cup,9,"two\nlines"\njug,Jug,7,x\n', "malformed_quotes"),
    ],
)
def test_a_forgotten_quote_costs_one_row(rest: bytes, reason: str) -> None:
    data = HEADER + b'mug,"Mug,8,x\n' + rest

    assert faults(data) == [(2, None, reason)]
    assert [handle for _, handle in rows(data)] == ["cup", "jug"]


def test_a_forgotten_quote_in_a_long_file_costs_one_row() -> None:
    many = b"".join(b"p-%d,Product,8,some text that fills the file\n" % n for n in range(50_000))

    data = HEADER + b'mug,"Mug,8,x\n' + many

    assert faults(data) == [(2, None, "unterminated_quote")]
    assert len(rows(data)) == 50_000


def test_a_file_made_to_be_read_again_and_again_ends_in_time() -> None:
    hostile = HEADER + b'x",""",\n' * 1_000_000

    assert len(faults(hostile)) < 1000


def test_a_row_of_several_lines_with_a_cell_too_many_is_rejected_once() -> None:
    data = HEADER + b'mug,Mug,8,"one\ntwo, three\nfour",5\ncup,Cup,9,x\n'

    assert faults(data) == [(2, None, "wrong_columns")]
    assert rows(data) == [(5, "cup")]
    assert "line 2 to 4" in next(item.detail for item in read([data]) if isinstance(item, Rejection))


def test_rows_that_lost_their_unreadable_first_row_say_so() -> None:
    data = b"Handle,Title,Option1 name,Option1 value,Price\n" + "tee,Größe,Size,S,5\n".encode("latin-1")
    with_handle = list(assemble(read([data + b"tee,,,M,5\nmug,Mug,,,8\n"]), "USD"))
    without = list(assemble(read([data.replace(b"tee,", b"tee") + b"tee,,,M,5\nmug,Mug,,,8\n"]), "USD"))

    for found, first in ((with_handle, "invalid_utf8"), (without, "wrong_columns")):
        assert [getattr(item, "reason", "taken") for item in found] == [first, "product_row_rejected", "taken"]
        assert "line 2" in getattr(found[1], "detail", "")


def test_an_unreadable_row_inside_a_product_leaves_the_product_whole() -> None:
    data = b"Handle,Title,Option1 name,Option1 value,Price\ntee,Tee,Size,S,5\nbroken\ntee,,,M,5\n"
    draft, broken = assemble(read([data]), "USD")

    assert isinstance(draft, ProductDraft)
    assert draft.lines == (2, 4)
    assert isinstance(broken, Rejection)
    assert (broken.line, broken.reason) == (3, "wrong_columns")


def test_the_csv_modules_limit_is_as_these_tests_expect() -> None:
    assert csv.field_size_limit() == 131_072
