"""`tradepost keys list` and `tradepost keys rotate`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from tradepost import settings
from tradepost.console.instance import InstanceError
from tradepost.console.trouble import failing
from tradepost.kernel.keys import CURRENT, PREVIOUS, has_keys, load_or_create_keys, rotate_keys
from tradepost.main import KEYS

EXAMPLES: Final = """Examples:
  tradepost keys list
  TRADEPOST_DATA=/srv/shop tradepost keys rotate

`tradepost keys COMMAND --help` says more."""
LIST_EXAMPLES: Final = """Ends with 2 when there are none, or a file is damaged.

Examples:
  tradepost keys list
  TRADEPOST_DATA=/srv/shop tradepost keys list"""
ROTATE_EXAMPLES: Final = """Ends with 2 when there is no key to replace, or a file is damaged.

Examples:
  TRADEPOST_DATA=/srv/shop tradepost keys rotate
  tradepost keys rotate --revoke    the key was seen by others"""

keys: Final = App(
    name="keys", help="The keys that sign access tokens.", help_format="plaintext", help_epilogue=EXAMPLES
)


@keys.command(name="list", help_epilogue=LIST_EXAMPLES)
def list_() -> None:
    """Show the names of the keys in the data folder, and since when each has its part."""
    with _opened() as folder:
        found = load_or_create_keys(folder)
        print(f"{found.current.kid}  signs, made {_written_at(folder / CURRENT)}")
        if found.previous is not None:
            print(f"{found.previous.kid}  is still good, replaced {_written_at(folder / PREVIOUS)}")


@keys.command(help_epilogue=ROTATE_EXAMPLES)
def rotate(*, revoke: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Make a new key. Start all that runs `user` again afterwards: it signs with it from then on. Tokens that were
    signed with the key so far stay good until they end.

    Parameters
    ----------
    revoke
        Refuse those tokens, too: a minute later where this folder is read, and elsewhere a minute after `user` was
        started again. Then each gets a new one with the next refresh, and nobody has to log in.
    """
    with _opened() as folder:
        for _ in range(1 + revoke):
            made = rotate_keys(folder)
        print(f"{made.current.kid} signs as soon as you have started again all that runs `user`")


@contextmanager
def _opened() -> Iterator[Path]:
    """The folder of an instance's keys. Errors: SystemExit, told in one line."""
    with failing():
        folder = settings.read().data / KEYS
        if not has_keys(folder):
            raise InstanceError(f"there are no keys in {folder}: set TRADEPOST_DATA to the folder of the instance")
        yield folder


def _written_at(path: Path) -> str:
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
