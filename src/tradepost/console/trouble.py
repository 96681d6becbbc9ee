"""How a command ends that is kept from its work: with one line on standard error, and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from tradepost import process

FAILED: Final = 2
STOPPED: Final = 130  # by Ctrl-C, as a shell counts it


class Trouble(Exception):
    """What keeps a command from its work; the message is one line for the operator."""


class Unknown(Trouble):
    """What the operator named is not there."""


@contextmanager
def failing(code: int = FAILED, *, stopped: int = STOPPED) -> Iterator[None]:
    """Whatever keeps the command from its work ends the process with `code` and one line; Ctrl-C with `stopped`."""
    try:
        yield
    except (Trouble, *process.TOLD, OSError) as error:
        raise SystemExit(say(process.told(error) or str(error) or type(error).__name__, code)) from None
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        hint = "is TRADEPOST_SECRET, or the data folder, that of the shop?"
        raise SystemExit(say(f"the database: {error}; {hint}", code)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SystemExit(say(f"the database: {error}", code)) from None
    except KeyboardInterrupt:
        raise SystemExit(stopped) from None


def say(line: str, code: int = FAILED) -> int:
    """One line on standard error; the exit code that goes with it."""
    print(f"tradepost: {' '.join(line.split())}", file=sys.stderr)
    return code
