"""The order log, read."""

import lzma
from datetime import datetime
from pathlib import Path

import pytest

from tests.console.order_log import LOG
from tradepost.console.simulate.log import Line, LogError, Product, parse, read_log

SHARED = Path(__file__).parents[3] / "shared" / "data" / "online_retail.csv.xz"


def test_invoices_come_in_order_of_time_with_every_line_that_can_be_charged() -> None:
    log = parse(LOG.splitlines(keepends=True))

    assert [invoice.number for invoice in log.invoices] == ["100", "101", "102", "C103"]
    first = log.invoices[0]
    assert first.lines == (Line("MUG", 6), Line("MUG", 4), Line("mug", 1))
    assert (first.customer, first.country, first.at) == ("17850", "United Kingdom", datetime(2010, 12, 1, 8, 26))
    assert log.invoices[2].customer is None


def test_a_cancellation_gives_back_a_positive_number_of_units() -> None:
    (cancellation,) = [one for one in parse(LOG.splitlines()).invoices if one.is_cancellation]

    assert cancellation.lines == (Line("MUG", 10),)


def test_lines_that_can_not_be_charged_are_skipped_and_counted_by_reason() -> None:
    assert parse(LOG.splitlines()).skipped == {
        "negative_quantity": 1,
        "no_price": 1,
        "unreadable": 2,
        "positive_quantity_in_a_cancellation": 1,
    }


def test_a_product_has_its_most_frequent_price_and_all_that_is_ordered_of_it() -> None:
    assert parse(LOG.splitlines()).products == [
        Product(sku="MUG", title="RED MUG", price=250, demand=11),
        Product(sku="TIN", title="TIN, SMALL", price=1, demand=10),  # above nothing: at least a penny
        Product(sku="mug", title="other mug", price=100, demand=1),
    ]


def test_a_limit_takes_the_first_invoices_and_only_their_demand() -> None:
    log = parse(LOG.splitlines(), limit=1)

    assert [invoice.number for invoice in log.invoices] == ["100"]
    assert {product.sku: product.demand for product in log.products} == {"MUG": 10, "mug": 1}
    assert log.customers == ["17850"]


def test_a_date_may_be_written_as_in_the_original_workbook() -> None:
    (invoice,) = parse([LOG.splitlines()[0], "1,MUG,RED MUG,6,12/31/2010 8:26,2.50,17850,France"]).invoices

    assert invoice.at == datetime(2010, 12, 31, 8, 26)


def test_a_file_with_other_columns_is_refused_by_the_name_of_a_missing_one() -> None:
    with pytest.raises(LogError, match="there is no column Country"):
        parse([LOG.splitlines()[0].replace("Country", "Land")])


def test_a_packed_log_is_read_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "log.csv.xz"
    packed.write_bytes(lzma.compress(LOG.encode()))
    assert len(read_log(packed).invoices) == 4

    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(LogError, match="is damaged"):
        read_log(packed)


@pytest.mark.skipif(not SHARED.exists(), reason="the real log is not here")
def test_the_real_log_has_19960_invoices_with_a_line_that_can_be_charged() -> None:
    log = read_log(SHARED)

    assert len(log.orders) == 19_960
    assert len(log.invoices) - len(log.orders) == 3_836
    assert sum(len(order.lines) for order in log.orders) == 530_104
    assert log.skipped == {"negative_quantity": 1_336, "no_price": 1_181}
