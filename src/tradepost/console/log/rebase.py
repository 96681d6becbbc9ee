"""`tradepost log rebase`."""

import asyncio
import sys
from typing import Final

import asyncpg

from tradepost import process, settings
from tradepost.console.instance import NAMES, InstanceError
from tradepost.kernel.log.rebase import rebase as close_and_open
from tradepost.kernel.postgres import PostgresError
from tradepost.settings import Settings, SettingsError

FAILED: Final = 1


def rebase() -> None:
    """After a dump and restore: close the old epoch of the log and open a new one. Stop the services first."""
    try:
        room = settings.read()
        _refuse_vacant(room)
        with process.backing(room, NAMES, NAMES, embedded=True) as backing:
            urls = sorted(set(backing.databases.values()))
            done = [asyncio.run(close_and_open(url, readers=[r for r in urls if r != url])) for url in urls]
    except (InstanceError, PostgresError, SettingsError, OSError, asyncpg.PostgresError) as error:
        print(f"tradepost: {error}", file=sys.stderr)
        raise SystemExit(FAILED) from None
    opened = [rebasing.epoch for rebasing in done if rebasing.epoch is not None]
    if not opened:
        print("the log is in the cluster that it was written in: nothing to do")
    else:
        for moved in (one for rebasing in done for one in rebasing.moved):
            print(
                f"{moved.group} on {moved.source} (from slot {moved.first_slot}) stood at tick {moved.from_tick}, "
                "which the log does not have: it goes on with what is new, and passes over what it had not read of it"
            )
        print(f"epoch {max(opened)} is open; start the services again")


def _refuse_vacant(room: Settings) -> None:
    """Errors: InstanceError where nothing was ever kept, rather than a new server with nothing in it."""
    if not (room.database_url or set(room.databases) >= set(NAMES) or (room.data / "postgres").exists()):
        raise InstanceError(f"there is no shop in {room.data}: set TRADEPOST_DATA to the folder of one")
