"""The import contracts hold, and each of them fails on a planted violation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TIMEOUT_S: Final = 120
LINT: Final = "from importlinter.cli import lint_imports_command; lint_imports_command()"

PLANTED: Final = {
    "One direction through the house": ("kernel/ids.py", "import tradepost.contracts"),
    "Services never import one another": ("services/order/offers.py", "import tradepost.services.product"),
    "Inside a service: edges, then writes and reads, then rows, then rules": (
        "services/order/repository.py",
        "import tradepost.services.order.commands",
    ),
    "Rules and facts do no I/O": ("services/order/domain/order.py", "import asyncpg"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_contracts_hold() -> None:
    told = lint(ROOT)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_breaks_its_contract(contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file, line = PLANTED[contract]
    with (tmp_path / "src/tradepost" / file).open("a") as planted:
        planted.write(f"\n{line}\n")

    told = lint(tmp_path)

    assert told.returncode == 1
    assert f"{contract} BROKEN" in told.stdout
