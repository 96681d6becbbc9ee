"""`tradepost events`: what was published, what came of it, and reading it again; one module per command."""

from typing import Final

from cyclopts import App

from tradepost.console.events.announce import announce
from tradepost.console.events.replay import replay
from tradepost.console.events.show import show
from tradepost.console.events.tail import tail
from tradepost.console.events.trace import trace

EXAMPLES: Final = """Examples:
  tradepost events tail -f
  tradepost events trace 1001
  tradepost events show 0193b2f0-7c1e-7000-8000-000000000001
  tradepost events replay product.availability
  tradepost events announce inventory

`tradepost events COMMAND --help` says more."""
TAIL_EXAMPLES: Final = """Ends with 2 when it could not look.

Examples:
  tradepost events tail
  tradepost events tail --follow --type order.created
  tradepost events tail -n 100 --publisher payment --json
  tradepost events tail --key MUG-1"""
SHOW_EXAMPLES: Final = """Ends with 2 when there is no such event, or it could not look.

Examples:
  tradepost events show 0193b2f0-7c1e-7000-8000-000000000001
  tradepost events show 0193b2f0-7c1e-7000-8000-000000000001 --json"""
TRACE_EXAMPLES: Final = """Ends with 2 when there is no such order, or it could not look.

Examples:
  tradepost events trace 1001
  tradepost events trace 0193b2f0-7c1e-7000-8000-000000000001"""
REPLAY_EXAMPLES: Final = """Ends with 1 when the group must not read again, with 2 when it could not try.

Examples:
  tradepost events replay product.availability
  tradepost events replay product.availability && tradepost log lag --wait"""
ANNOUNCE_EXAMPLES: Final = """Ends with 2 when it could not, after saying how far it came.

Examples:
  tradepost events announce product
  tradepost events announce inventory && tradepost log lag --wait
  tradepost events announce user --after 0193b2f0-7c1e-7000-8000-000000000001"""

events: Final = App(
    name="events", help="What the services have published.", help_format="plaintext", help_epilogue=EXAMPLES
)
events.command(tail, help_epilogue=TAIL_EXAMPLES)
events.command(show, help_epilogue=SHOW_EXAMPLES)
events.command(trace, help_epilogue=TRACE_EXAMPLES)
events.command(replay, help_epilogue=REPLAY_EXAMPLES)
events.command(announce, help_epilogue=ANNOUNCE_EXAMPLES)
