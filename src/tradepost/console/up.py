"""`tradepost up`."""

import sys

from tradepost import process, settings
from tradepost.main import serve

FAILED = 1


def up() -> None:
    """Start everything in one process: PostgreSQL, all services and the gateway. Ctrl-C stops it.

    Settings are environment variables, above all `PORT`, `TRADEPOST_DATA` and `TRADEPOST_DATABASE_URL`.

    Examples
    --------
    tradepost up

    PORT=9000 TRADEPOST_DATA=/srv/shop tradepost up

    TRADEPOST_DATABASE_URL=postgresql://tradepost:secret@db.internal/shop tradepost up
    """
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
