"""The command line: what there is to run; each command's module is imported only when it is."""

from typing import Final

from cyclopts import App

EXAMPLES: Final = """Examples:
  tradepost up                      everything, at http://127.0.0.1:8000
  PORT=9000 tradepost up            somewhere else
  tradepost routes order POST       what can be posted to orders, and by whom

`tradepost COMMAND --help` says more."""
UP_EXAMPLES: Final = """Settings are environment variables, such as PORT, TRADEPOST_DATA and TRADEPOST_DATABASE_URL.

Examples:
  tradepost up
  PORT=9000 TRADEPOST_DATA=/srv/shop tradepost up
  TRADEPOST_DATABASE_URL=postgresql://tradepost:secret@db.internal/shop tradepost up"""
ROUTES_EXAMPLES: Final = """Examples:
  tradepost routes
  tradepost routes order POST       those whose line holds both words"""


def _version() -> str:
    from importlib.metadata import version

    return version("tradepost")


app = App(
    name="tradepost",
    help="Tradepost: a self-hosted commerce backend.",
    help_format="plaintext",
    help_epilogue=EXAMPLES,
    version=_version,
)
app.command(
    "tradepost.console.up:up",
    name="up",
    help="Start everything in one process; Ctrl-C stops it.",
    help_epilogue=UP_EXAMPLES,
)
app.command(
    "tradepost.console.routes:routes",
    name="routes",
    help="List every endpoint, and who may call it.",
    help_epilogue=ROUTES_EXAMPLES,
)
app.command("tradepost.console.carrier:carrier", name="carrier")


def main() -> None:
    """The entry point of `tradepost`."""
    app()
