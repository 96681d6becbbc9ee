"""`tradepost up`."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tradepost import process, settings
from tradepost.main import serve

FAILED: Final = 1


def up() -> None:
    """Start everything in one process: PostgreSQL, all services and the gateway; Ctrl-C stops it."""
    with serving():
        serve(settings.read())


@contextmanager
def serving() -> Iterator[None]:
    """Trouble is told in one line on standard error, and ends the process with 1."""
    try:
        yield
    except KeyboardInterrupt:
        return  # stopped before it was ready
    except asyncio.CancelledError:
        raise SystemExit(_fail("stopped by force: what was under way was not finished")) from None
    except Exception as error:
        line = process.told(error)
        if line is None:
            raise
        raise SystemExit(_fail(line)) from None


def _fail(line: str) -> int:
    print(f"tradepost: {line}", file=sys.stderr)
    return FAILED
