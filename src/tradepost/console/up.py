"""`tradepost up`."""

import sys
from typing import Final

from tradepost import process, settings
from tradepost.main import serve

FAILED: Final = 1


def up() -> None:
    """Start everything in one process: PostgreSQL, all services and the gateway; Ctrl-C stops it."""
    try:
        serve(settings.read())
    except KeyboardInterrupt:
        return  # stopped before it was ready
    except Exception as error:
        line = process.told(error)
        if line is None:
            raise
        print(f"tradepost: {line}", file=sys.stderr)
        raise SystemExit(FAILED) from None
