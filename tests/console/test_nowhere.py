"""Commands in a folder without a shop: they say so, and leave the folder as it was."""

from pathlib import Path
from typing import Final

import pytest

from tests.console.calling import tradepost

URL: Final = "postgresql://nobody@127.0.0.1:1/none"
ID: Final = "0193b2f0-7c1e-7000-8000-000000000001"
AS_A_SERVICE: Final = (
    "log parked",
    "log retry --all",
    f"log drop shipping {ID} --yes",
    "log split order payment 8",
    "log merge order payment 8",
    "events replay product.availability",
    "events announce product",
)


@pytest.mark.parametrize("command", AS_A_SERVICE)
def test_no_secret_is_made_where_no_postgresql_runs(tmp_path: Path, command: str) -> None:
    called = tradepost("", *command.split(), TRADEPOST_DATA=str(tmp_path), TRADEPOST_SECRET="")

    told = f"tradepost: no PostgreSQL runs in {tmp_path}: start `tradepost up`, or set TRADEPOST_DATA\n"
    assert (called.code, called.err, list(tmp_path.iterdir())) == (2, told, [])


@pytest.mark.parametrize("command", AS_A_SERVICE)
def test_the_secret_of_a_shop_is_asked_for_and_not_made(tmp_path: Path, command: str) -> None:
    called = tradepost(URL, *command.split(), TRADEPOST_DATA=str(tmp_path), TRADEPOST_SECRET="")

    told = (
        f"there is no secret in {tmp_path}: set TRADEPOST_SECRET to that of the shop, or TRADEPOST_DATA to its folder"
    )
    assert (called.code, called.err, list(tmp_path.iterdir())) == (2, f"tradepost: {told}\n", [])
