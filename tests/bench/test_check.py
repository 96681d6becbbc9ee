"""`make bench-check` tells what became worse, and lets what did not."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.check import EXPECTED, TOLERANCE, Measured, compare

ROOT = EXPECTED.parents[1]


@pytest.fixture
def expected() -> Measured:
    return msgspec.json.decode(EXPECTED.read_bytes(), type=Measured)


def check(measured: Measured, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command, as `make bench-check` runs it, on figures that are given."""
    file = folder / "measured.json"
    file.write_bytes(msgspec.json.encode(measured))
    command = [sys.executable, "-m", "bench.check", "--measured", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_committed_figures_pass_and_so_does_what_is_better(expected: Measured) -> None:
    better = Measured({"place": 1}, {name: share / 2 for name, share in expected.cpu_in_echoes.items()})

    assert list(compare(expected, expected)) == []
    assert list(compare(expected, better)) == []


def test_one_statement_more_ends_the_check_with_one_and_is_named(expected: Measured, tmp_path: Path) -> None:
    more = expected.statements["place"] + 1
    planted = Measured({**expected.statements, "place": more}, expected.cpu_in_echoes)

    done = check(planted, tmp_path)

    assert done.returncode == 1
    assert f"place: {more} statements, expected are {more - 1}" in done.stderr


def test_cpu_beyond_the_tolerance_is_worse_and_within_it_is_not(expected: Measured) -> None:
    def with_place(share: float) -> Measured:
        return Measured(expected.statements, {**expected.cpu_in_echoes, "place": share})

    limit = expected.cpu_in_echoes["place"] * TOLERANCE

    assert [line.partition(":")[0] for line in compare(expected, with_place(limit * 1.01))] == ["place"]
    assert list(compare(expected, with_place(limit * 0.99))) == []


def test_what_nobody_expected_or_measured_is_told(expected: Measured) -> None:
    extra = Measured({**expected.statements, "carts": 2}, {})

    told = [line.partition(":")[0] for line in compare(expected, extra)]

    assert sorted(told) == sorted(["carts", *expected.cpu_in_echoes])
