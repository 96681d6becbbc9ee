"""`tradepost log rebase`."""

import asyncio
from typing import Final

from tradepost import process, settings
from tradepost.console.instance import NAMES, InstanceError
from tradepost.console.trouble import failing
from tradepost.kernel.log.rebase import rebase as close_and_open
from tradepost.settings import Settings

FAILED: Final = 1


def rebase() -> None:
    """After a dump and restore: close the old epoch of the log and open a new one. Stop the services first."""
    with failing(FAILED):
        room = settings.read()
        _refuse_vacant(room)
        with process.backing(room, NAMES, NAMES, embedded=True) as backing:
            urls = sorted(set(backing.databases.values()))
            asyncio.run(process.check_databases(urls, backing.left))
            done = [asyncio.run(close_and_open(url, readers=[r for r in urls if r != url])) for url in urls]
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
