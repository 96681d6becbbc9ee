"""`tradepost simulate` and `tradepost import` as they are used: on a running instance, from a file."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.order_log import invoices
from tests.ports import free_port
from tests.system.test_up import TRADEPOST, environment

pytestmark = pytest.mark.xdist_group("simulate")  # what they share is made once

RUN_S = 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running instance."""
    data = tmp_path_factory.mktemp("shop") / "data"
    ours = environment(data, free_port(), TRADEPOST_RATE_LIMITS="off", TRADEPOST_CARRIER_PACE="0,0")
    with subprocess.Popen([TRADEPOST, "up"], env=ours, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
        yield ours
        process.terminate()


def _run(shop: dict[str, str], *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([TRADEPOST, *words], env=shop, capture_output=True, text=True, timeout=RUN_S, check=False)


def test_two_hundred_invoices_are_played_settled_and_audited(shop: dict[str, str], tmp_path: Path) -> None:
    log, journal = tmp_path / "log.csv", tmp_path / "journal"
    log.write_text("".join(invoices()))

    done = _run(shop, "simulate", log, "--journal", journal, "--run", "one")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^orders accepted +180 in ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^orders refused +none$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^orders cancelled, why +\d+ .*insufficient_stock", done.stdout, re.MULTILINE), done.stdout
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    keys = {line["n"]: line["key"] for line in lines if "key" in line}
    placed = {keys[line["n"]]: line["order_id"] for line in lines if line.get("status") == 201 and "order_id" in line}
    assert {key for key in placed if re.fullmatch(r"one-\d+-0", key)} == {f"one-{number}-0" for number in range(180)}

    again = _run(shop, "simulate", log, "--journal", tmp_path / "again", "--run", "one")  # the same keys

    assert again.returncode == 0, again.stdout + again.stderr
    repeated = [json.loads(line) for line in (tmp_path / "again").read_text().splitlines()]
    assert {line["order_id"] for line in repeated if "total_amount" in line and line.get("status") == 201} <= {
        *placed.values()
    }


def test_a_product_file_is_imported_and_a_bad_row_is_told_with_its_line(shop: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text("Handle,Title,Variant SKU,Variant Price\ncup,Cup,CUP-9,4.50\njar,Jar,JAR-9,dear\n")

    tried, done = _run(shop, "import", file, "--dry-run"), _run(shop, "import", file, "--currency", "eur")

    assert (tried.returncode, done.returncode) == (1, 1)
    assert "line 3 (jar): price_malformed" in done.stdout
    assert re.search(r"products created\W+1\b", done.stdout)
