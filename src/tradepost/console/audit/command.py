"""`tradepost audit`."""

import asyncio
from pathlib import Path
from typing import Final

from tradepost import settings
from tradepost.console.audit.examine import audit
from tradepost.console.instance import database_urls
from tradepost.console.trouble import failing

WAIT_S: Final = 60.0


def command(*, wait: float = WAIT_S, journal: Path | None = None) -> None:
    """Check that nothing was lost, sold twice or charged twice: stock, ledger, orders, parcels and messages.

    It only reads, and exits with 1 when anything is violated. Where services have databases of their own, it holds up
    those who write for an instant, and works on a copy in the temporary folder.

    Parameters
    ----------
    wait
        Seconds to wait until all that is under way is done; what is not done by then is a violation.
    journal
        The journal of a simulation: each order that was answered must exist once, with its total.
    """
    with failing():
        code = asyncio.run(audit(database_urls(settings.read()), journal=journal, wait_s=wait, echo=print))
    raise SystemExit(code)
