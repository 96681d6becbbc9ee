"""`tradepost backup` and `tradepost restore`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import asyncpg

from tradepost import settings
from tradepost.console.backup import make
from tradepost.console.backup import restore as making
from tradepost.console.backup.manifest import BackupError
from tradepost.console.backup.programs import ProgramError
from tradepost.console.cut import CutError
from tradepost.console.instance import InstanceError
from tradepost.kernel.migrate import MigrationError
from tradepost.kernel.postgres import PostgresError
from tradepost.process import DatabaseError
from tradepost.settings import Settings, SettingsError

FAILED: Final = 1
TOLD: Final = (
    BackupError,
    CutError,
    DatabaseError,
    InstanceError,
    MigrationError,
    PostgresError,
    ProgramError,
    SettingsError,
    OSError,
    asyncpg.PostgresError,
)


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
    try:
        asyncio.run(work(settings.read()))
    except TOLD as error:
        print(f"tradepost: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        raise SystemExit(FAILED) from None
    except KeyboardInterrupt:
        print("tradepost: stopped; nothing was left behind", file=sys.stderr)
        raise SystemExit(FAILED) from None


def _say(line: str) -> None:
    print(line, flush=True)
