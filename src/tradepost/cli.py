"""The command line: what there is to run; each command's module is imported only when it is."""

from typing import Final

from cyclopts import App

EXAMPLES: Final = """
Examples:

  tradepost up                      everything, at http://127.0.0.1:8000

  PORT=9000 tradepost up            somewhere else

  tradepost routes order POST       which orders can be posted, and by whom
"""


def _version() -> str:
    from importlib.metadata import version

    return version("tradepost")


app = App(
    name="tradepost",
    help="Tradepost: a self-hosted commerce backend." + EXAMPLES,
    help_format="plaintext",
    version=_version,
)
app.command("tradepost.console.up:up", name="up", help="Start everything in one process; Ctrl-C stops it.")
app.command("tradepost.console.routes:routes", name="routes", help="List every endpoint and who may call it.")


def main() -> None:
    """The entry point of `tradepost`."""
    app()
