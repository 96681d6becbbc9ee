"""`tradepost import` and the set-up of a simulation, against a server that answers a report."""

import csv
import io
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from tests.console.order_log import LOG
from tests.console.shop_double import Double, refused, served
from tradepost.console import import_
from tradepost.console.instance import InstanceError
from tradepost.console.simulate.client import open_client
from tradepost.console.simulate.journal import Journal
from tradepost.console.simulate.log import parse
from tradepost.console.simulate.report import percentile
from tradepost.console.simulate.shop import set_up

IMPORTS = "/product/imports"
REJECTION = {"line": 3, "handle": "mug", "kind": "rejection", "reason": "price_malformed", "detail": "the price is 'x'"}
WARNING = {"line": 2, "handle": "tin", "kind": "warning", "reason": "tags_dropped", "detail": "repeated tags"}
SUMMARY = {"summary": {"rows": 2, "rows_rejected": 1}}


def _lines(*lines: object) -> web.Response:
    return web.Response(body=msgspec.json.Encoder().encode_lines(lines), content_type="application/x-ndjson")


async def _run(double: Double, folder: Path, report: Path | None = None) -> int:
    path = folder / "products.csv"
    path.write_bytes(b"Handle,Title\n" + b"mug,Mug\n" * 20_000)
    async with served(double):
        return await import_._import(double.instance, path, {"currency": "GBP"}, report)


async def test_a_file_without_rejections_ends_with_0_and_arrives_whole(tmp_path: Path) -> None:
    double = Double(replies={IMPORTS: lambda _: _lines(WARNING, SUMMARY)})

    assert await _run(double, tmp_path) == 0
    assert double.calls[0][2] == (tmp_path / "products.csv").read_text()


async def test_a_rejected_row_ends_with_1_and_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = Double(replies={IMPORTS: lambda _: _lines(REJECTION, WARNING, SUMMARY)})

    assert await _run(double, tmp_path, tmp_path / "report") == 1
    assert "line 3 (mug): price_malformed: the price is 'x'" in capsys.readouterr().out
    told = [msgspec.json.decode(line) for line in (tmp_path / "report").read_bytes().splitlines()]
    assert told == [REJECTION, WARNING, SUMMARY]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_lines(REJECTION), "broke off"),
        (_lines({"failure": {"rows": 7, "detail": "The database can't be reached."}}), "stopped after 7 rows"),
        (refused(403, "forbidden"), "403 forbidden"),
    ],
)
async def test_an_import_that_does_not_come_to_its_end_fails(
    answer: web.Response, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InstanceError, match=message):
        await _run(Double(replies={IMPORTS: lambda _: answer}), tmp_path)


async def test_the_set_up_imports_products_and_customers_and_waits_until_all_can_be_ordered() -> None:
    asked = [refused(422, "unknown_product"), refused(409, "not_yet_available"), refused(409, "price_changed")]
    double = Double()
    double.replies = {
        IMPORTS: lambda _: _lines(SUMMARY),
        "/user/imports": lambda _: _lines(
            {"line": 1, "status": "created", "email": "customer-17850@simulated.example", "user_id": "user-1"},
            {"line": 2, "status": "existing", "email": "customer-13047@simulated.example", "user_id": "user-2"},
            {"summary": {}},
        ),
        "/order/orders": lambda count: asked[count],
    }
    async with served(double), open_client(double.instance, Journal(None), 8) as client:
        user_ids = await set_up(client, parse(LOG.splitlines()), 0.9)

    assert user_ids == {"17850": "user-1", "13047": "user-2"}
    assert double.paths() == [IMPORTS, "/user/imports", *["/order/orders"] * 3]
    rows = list(csv.DictReader(io.StringIO(double.calls[0][2])))
    columns = ("Handle", "Variant SKU", "Variant Price", "Variant Inventory Qty")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("mug", "MUG", "2.50", "10"),
        ("tin", "TIN", "0.01", "9"),
        ("mug-2", "mug", "1.00", "1"),
    ]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
