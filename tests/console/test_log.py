"""`tradepost log rebase` says what it did."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import asyncpg

from tests.system.test_up import TRADEPOST
from tradepost.kernel.ids import new_id


def test_a_log_that_was_not_restored_needs_no_new_epoch(database_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TRADEPOST_DATABASE_URL": database_url, "TRADEPOST_DATA": str(tmp_path / "data")}

    done = subprocess.run([TRADEPOST, "log", "rebase"], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (
        0,
        "the log is in the cluster that it was written in: nothing to do\n",
    ), done.stderr


async def test_a_reader_that_is_moved_is_named(
    database_url: str, superuser: "asyncpg.Connection[Any]", tmp_path: Path
) -> None:
    await superuser.execute(
        "INSERT INTO inventory.cursor (source, \"group\", tick, tick_uuid) VALUES ('order', 'inventory', 999, $1)",
        new_id(),
    )
    environment = {**os.environ, "TRADEPOST_DATABASE_URL": database_url, "TRADEPOST_DATA": str(tmp_path / "data")}

    done = await asyncio.to_thread(
        subprocess.run, [TRADEPOST, "log", "rebase"], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    moved, opened = done.stdout.splitlines()
    assert moved.startswith("inventory on order (from slot 0) stood at tick 999, which the log does not have")
    assert opened == "epoch 2 is open; start the services again"


def test_where_there_is_no_shop_none_is_made(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TRADEPOST_DATA": str(tmp_path / "data")}

    done = subprocess.run([TRADEPOST, "log", "rebase"], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (
        1,
        f"tradepost: there is no shop in {tmp_path / 'data'}: set TRADEPOST_DATA to the folder of one\n",
    )
    assert not (tmp_path / "data").exists()
