"""`tradepost log`: how far everyone is, what was set aside, and how the work is cut; one module per matter."""

from typing import Final

from cyclopts import App

from tradepost.console.log.dead import dead, redrive
from tradepost.console.log.lag import lag
from tradepost.console.log.parked import drop, parked, retry
from tradepost.console.log.rebase import rebase
from tradepost.console.log.slots import merge, split
from tradepost.console.log.switch import recover, switch

EXAMPLES: Final = """Examples:
  tradepost log lag --watch
  tradepost log lag --wait 60
  tradepost log parked
  tradepost log retry shipping 0193b2f0-7c1e-7000-8000-000000000001
  tradepost log rebase

`tradepost log COMMAND --help` says more."""
LAG_EXAMPLES: Final = """Ends with 1 when the time is over and somebody is behind, with 2 when it could not see all.

Examples:
  tradepost log lag
  tradepost log lag --watch
  tradepost log lag --wait 60 && tradepost audit
  tradepost log lag --json"""
PARKED_EXAMPLES: Final = """Ends with 2 when it could not look.

Examples:
  tradepost log parked
  tradepost log parked --group shipping --json"""
RETRY_EXAMPLES: Final = """Ends with 1 when an event failed again or nothing was parked, with 2 when it could not try.

Examples:
  tradepost log retry shipping 0193b2f0-7c1e-7000-8000-000000000001
  tradepost log retry shipping --all
  tradepost log retry --all"""
DROP_EXAMPLES: Final = """Ends with 1 when nothing was given up, with 2 when it could not try.

Examples:
  tradepost log drop notification 0193b2f0-7c1e-7000-8000-000000000001
  tradepost log drop notification 0193b2f0-7c1e-7000-8000-000000000001 --yes"""
SPLIT_EXAMPLES: Final = """Processes of one service cut places by themselves; this is for doing it by hand.
Ends with 1 when the place can't be cut there, with 2 when it could not try.

Examples:
  tradepost log split order payment 8"""
MERGE_EXAMPLES: Final = """Both places must stand at one position, as they do some seconds after the last event.
Ends with 1 when they can't be joined, with 2 when it could not try.

Examples:
  tradepost log merge order payment 8"""

DEAD_EXAMPLES: Final = """Ends with 2 when it could not look.

Examples:
  TRADEPOST_BROKER=rabbitmq tradepost log dead"""
REDRIVE_EXAMPLES: Final = """Ends with 1 when there were none, with 2 when it could not try.

Examples:
  TRADEPOST_BROKER=rabbitmq tradepost log redrive shipping"""
SWITCH_EXAMPLES: Final = """Ends with 1 while processes run or a group is behind, with 2 when it could not try.

Examples:
  tradepost log lag --wait 60       while everything still runs
  tradepost log switch              when everything was stopped"""

RECOVER_EXAMPLES: Final = """Processes may run. Start those again whose consumers have stopped.

Examples:
  tradepost log recover
  tradepost log lag --wait 600"""

REBASE_EXAMPLES: Final = """Ends with 1 when it could not.

Examples:
  TRADEPOST_DATA=/srv/shop tradepost log rebase
  TRADEPOST_DATABASE_URL=postgresql://tradepost:secret@db.internal/shop tradepost log rebase"""

log: Final = App(name="log", help="The event log.", help_format="plaintext", help_epilogue=EXAMPLES)
log.command(lag, help_epilogue=LAG_EXAMPLES)
log.command(parked, help_epilogue=PARKED_EXAMPLES)
log.command(retry, help_epilogue=RETRY_EXAMPLES)
log.command(drop, help_epilogue=DROP_EXAMPLES)
log.command(split, help_epilogue=SPLIT_EXAMPLES)
log.command(merge, help_epilogue=MERGE_EXAMPLES)
log.command(dead, help_epilogue=DEAD_EXAMPLES)
log.command(redrive, help_epilogue=REDRIVE_EXAMPLES)
log.command(switch, help_epilogue=SWITCH_EXAMPLES)
log.command(recover, help_epilogue=RECOVER_EXAMPLES)
log.command(rebase, help_epilogue=REBASE_EXAMPLES)
