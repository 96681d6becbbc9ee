"""Reading the journal of a simulation."""

from pathlib import Path

import pytest

from tradepost.console.audit.journal import Answered, JournalError, read

ASKED = b'{"at":"2026-11-23T08:00:00Z","n":1,"method":"POST","path":"/order/orders","key":"k","body":{"items":[]}}\n'
TOLD = b'{"at":"2026-11-23T08:00:01Z","n":1,"status":201,"order_id":"o","total_amount":500,"state":"paid"}\n'
PLACED = Answered("k", "o", 500)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_an_answer_is_the_one_of_the_request_with_its_number(journal: Path) -> None:
    journal.write_bytes(ASKED + b'{"at":"2026-11-23T08:00:01Z","n":1,"lost":"timed out"}\n' + TOLD)

    assert read(journal) == [PLACED]


@pytest.mark.parametrize(
    "told",
    [
        TOLD.replace(b"201", b"409"),
        b'{"at":"2026-11-23T08:00:01Z","n":2,"status":201,"order_id":"o","total_amount":500}\n',
        b"",
    ],
    ids=["refused", "another request's", "none"],
)
def test_what_was_not_placed_does_not_count(journal: Path, told: bytes) -> None:
    journal.write_bytes(ASKED + told)

    assert read(journal) == []


def test_other_requests_place_nothing(journal: Path) -> None:
    journal.write_bytes(ASKED.replace(b"/order/orders", b"/order/orders/o/cancel") + TOLD)

    assert read(journal) == []


def test_a_torn_last_line_is_passed_over(journal: Path) -> None:
    journal.write_bytes(ASKED + TOLD + ASKED[:40])

    assert read(journal) == [PLACED]


def test_a_line_that_a_killed_run_left_torn_does_not_hide_the_first_of_the_next_run(journal: Path) -> None:
    journal.write_bytes(ASKED + TOLD + ASKED[:40] + ASKED + TOLD)

    assert read(journal) == [PLACED, PLACED]


def test_a_file_of_something_else_is_refused(journal: Path) -> None:
    journal.write_bytes(b"InvoiceNo,StockCode\n536365,85123A\n")

    with pytest.raises(JournalError, match="line 1"):
        read(journal)


def test_an_answer_without_an_order_is_refused(journal: Path) -> None:
    journal.write_bytes(ASKED + TOLD.replace(b'"order_id":"o",', b""))

    with pytest.raises(JournalError, match="request 1 names no order"):
        read(journal)
