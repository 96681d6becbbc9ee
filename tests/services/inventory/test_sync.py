"""Syncs: every line has its own fate, and the report tells it."""

from typing import Any

import msgspec

from tests.kernel.http.driver import Client, Response
from tests.services.inventory.warehouse import Warehouse, created
from tradepost.kernel.ids import new_id
from tradepost.services.inventory.api.upload import FAULTS_LIMIT

JSON_LINES = "application/x-ndjson"
CUT = [f"/c{n}" for n in range(FAULTS_LIMIT)]
UNREADABLE: tuple[tuple[str, bytes, tuple[int, str], list[str]], ...] = (
    ("text/csv", b"available\n1\n", (422, "csv_header_invalid"), ["/sku"]),
    ("text/csv", b"sku,available,price,a/b\nMUG,1,2,3\n", (422, "csv_header_invalid"), ["/price", "/a~1b"]),
    ("text/csv", b"sku,delta,delta\nMUG,1,2\n", (422, "csv_header_invalid"), ["/delta"]),
    ("text/csv", b"", (422, "csv_header_invalid"), ["/sku"]),
    ("text/csv", b"sku," + b",".join(b"c%d" % n for n in range(99)), (422, "csv_header_invalid"), CUT),
    ("text/csv", b"sku,\xff\n", (400, "malformed_csv"), []),
    ("application/json", b'{"sku": "MUG", "delta": 1}', (415, "unsupported_media_type"), []),
)


async def sync(staff: Client, body: bytes, kind: str = JSON_LINES, *, cut: int = 7, **headers: str) -> Response:
    """The upload in pieces of `cut` bytes, as a network may cut it."""
    pieces: list[bytes | None] = [body[at : at + cut] for at in range(0, len(body), cut)]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await staff.call("POST", "/inventory/sync", pieces or [b""], {"content-type": kind, **named})


def report(response: Response) -> list[Any]:
    assert (response.status, response.headers["content-type"]) == (200, JSON_LINES)
    return [msgspec.json.decode(line) for line in response.body.splitlines()]


def fates(response: Response) -> list[tuple[Any, ...]]:
    names = ("line", "sku", "status", "before", "after", "reason")
    return [tuple(line.get(name) for name in names) for line in report(response)[:-1]]


async def test_a_bad_line_never_stops_the_others(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5, CUP=1)
    await warehouse.hear(created(new_id(), ("MUG", 2)))
    lines = [
        b'{"sku": "MUG", "available": 10}',
        b'{"sku": "MUG", "delta": -1}',
        b'{"sku": "CUP", "available": 1}',
        b"{nonsense",
        b"",
        b'{"sku": "GHOST", "available": 1}',
        b'{"sku": "MUG", "delta": -10}',
        b'{"sku": "CUP", "delta": -2}',
        b'{"sku": "CUP"}',
        b'{"sku": "CUP", "available": 1, "delta": 1}',
        b'{"sku": "CUP", "available": -1}',
        b'{"sku": "CUP", "available": 1, "color": "red"}',
        b'{"sku": "CUP", "delta": 2, "if_version": 1}',
        b'{"sku": "CUP", "delta": 2, "if_version": 1}',
        b'{"sku": "' + b"x" * 17_000 + b'", "delta": 2}',
        b'{"sku": "CUP", "delta": 4, "if_version": 2}',
    ]

    answer = await sync(staff, b"\n".join(lines), cut=1_000)

    assert fates(answer) == [
        (1, "MUG", "changed", 3, 10, None),
        (2, "MUG", "changed", 10, 9, None),
        (3, "CUP", "unchanged", 1, 1, None),
        (4, None, "rejected", None, None, "malformed_json"),
        (6, "GHOST", "rejected", None, None, "unknown_sku"),
        (7, "MUG", "rejected", 9, 9, "stock_reserved"),
        (8, "CUP", "rejected", 1, 1, "insufficient_stock"),
        (9, None, "rejected", None, None, "invalid_line"),
        (10, None, "rejected", None, None, "invalid_line"),
        (11, None, "rejected", None, None, "invalid_line"),
        (12, None, "rejected", None, None, "invalid_line"),
        (13, "CUP", "changed", 1, 3, None),
        (14, "CUP", "rejected", 3, 3, "stale_version"),
        (15, None, "rejected", None, None, "line_too_long"),
        (16, "CUP", "changed", 3, 7, None),
    ]
    assert report(answer)[-1] == {"summary": {"lines": 15, "changed": 4, "unchanged": 1, "rejected": 10}}
    assert (await warehouse.stock("MUG"), await warehouse.stock("CUP")) == ((11, 2), (7, 0))
    assert await warehouse.movements("CUP") == [(1, "opening", 1), (2, "synced", 3), (4, "synced", 7)]
    await warehouse.check_the_books()


async def test_a_csv_is_read_by_the_names_in_its_header(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(**{'MUG "1", blue': 5, "CUP": 1, "POT": 1})
    header = "\ufeffif_version,SKU,delta,available"
    rows = "\r\n".join([header, ',"MUG ""1"", blue",,7', "1,CUP,2,", "", "9,POT,2,", ",CUP,x,", ",CUP,1", ""])

    answer = await sync(staff, rows.encode(), "text/csv; charset=utf-8")

    assert fates(answer) == [
        (2, 'MUG "1", blue', "changed", 5, 7, None),
        (3, "CUP", "changed", 1, 3, None),
        (5, "POT", "rejected", 1, 1, "stale_version"),
        (6, None, "rejected", None, None, "invalid_line"),
        (7, None, "rejected", None, None, "invalid_line"),
    ]
    await warehouse.check_the_books()


async def test_an_upload_that_can_not_be_read_at_all_is_refused(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)

    for kind, body, error, pointers in UNREADABLE:
        answer = await sync(staff, body, kind)
        assert (answer.error, answer.pointers) == (error, pointers)

    assert await warehouse.stock("MUG") == (5, 0)


async def test_an_empty_upload_has_an_empty_report(staff: Client) -> None:
    assert report(await sync(staff, b"")) == [{"summary": {"lines": 0, "changed": 0, "unchanged": 0, "rejected": 0}}]


async def test_a_long_upload_takes_the_same_few_statements_for_each_five_hundred_lines(
    warehouse: Warehouse, staff: Client
) -> None:
    await warehouse.stock_up(**{f"SKU-{n}": 1 for n in range(600)})
    body = b"".join(b'{"sku": "SKU-%d", "available": %d}\n' % (n % 600, n + 2) for n in range(1_200))
    before = warehouse.db.statements

    answer = await sync(staff, body, cut=5_000)

    assert report(answer)[-1] == {"summary": {"lines": 1_200, "changed": 1_200, "unchanged": 0, "rejected": 0}}
    assert warehouse.db.statements - before == 3 * 3  # lock, save, events
    assert await warehouse.stock("SKU-599") == (1_201, 0)
    await warehouse.check_the_books()


async def test_an_upload_sent_again_under_its_key_changes_nothing_more(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)
    body = b'{"sku": "MUG", "delta": 1}\n' * 600

    first = await sync(staff, body, cut=1_000, idempotency_key="upload-1")
    again = await sync(staff, body, cut=1_000, idempotency_key="upload-1")
    other = await sync(staff, body[:27], idempotency_key="upload-1")

    assert report(again) == report(first)
    assert fates(other) == [(1, "MUG", "rejected", None, None, "idempotency_key_reused")]
    assert await warehouse.stock("MUG") == (605, 0)
    await warehouse.check_the_books()
