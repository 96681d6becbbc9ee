"""`tradepost backup` and `tradepost restore`."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from tradepost import settings
from tradepost.console.backup import make
from tradepost.console.backup import restore as making
from tradepost.console.trouble import failing, say
from tradepost.settings import Settings

FAILED: Final = 1


def backup(folder: Path, /) -> None:
    """Write everything that the shop is into a new folder: all databases at one moment, its secret and its keys. The
    shop goes on selling meanwhile.

    Whoever has the folder has the shop's secrets and its customers' data: keep it as safe as the shop itself.

    Parameters
    ----------
    folder
        A folder that isn't there yet, or an empty one.
    """
    _run(lambda room: make.backup(room, folder.absolute(), _say))


def restore(folder: Path, /) -> None:
    """Make a shop of a backup, in an empty data folder or in the empty databases that the settings name. Start it
    afterwards and it goes on from the moment of the backup.

    Parameters
    ----------
    folder
        What `tradepost backup` has written.
    """
    _run(lambda room: making.restore(room, folder.absolute(), _say))


def _run(work: Callable[[Settings], Coroutine[Any, Any, object]]) -> None:
    with failing(FAILED):
        try:
            asyncio.run(work(settings.read()))
        except KeyboardInterrupt:
            raise SystemExit(say("stopped; nothing was left behind", FAILED)) from None


def _say(line: str) -> None:
    print(line, flush=True)
