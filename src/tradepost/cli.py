"""The command line: what there is to run; each command's module is imported only when it is."""

import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

MISUSED: Final = 2

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
RUN_EXAMPLES: Final = """Each process listens on its own HOST and PORT and reads its settings from the environment:
  TRADEPOST_DATABASE_URL, TRADEPOST_<SERVICE>_DATABASE_URL   where the data is
  TRADEPOST_BROKER, TRADEPOST_RABBITMQ_URL, TRADEPOST_KAFKA_BOOTSTRAP   what carries the events
  TRADEPOST_<SERVICE>_URLS   for a gateway: the instances of a service, with commas between

Examples:
  TRADEPOST_DATABASE_URL=postgresql://tradepost:secret@db/shop tradepost run all
  PORT=8104 tradepost run order
  PORT=8000 TRADEPOST_ORDER_URLS=http://10.0.0.4:8104,http://10.0.0.5:8104 tradepost run gateway
  TRADEPOST_BROKER=rabbitmq PORT=8110 tradepost run relay"""
ROUTES_EXAMPLES: Final = """Examples:
  tradepost routes
  tradepost routes order POST       those whose line holds both words"""

IMPORT_EXAMPLES: Final = """Ends with 1 when a row was rejected, with 2 when the file could not be imported.

Examples:
  tradepost import products.csv --dry-run
  tradepost import products.csv --currency GBP --report report.jsonl"""
SIMULATE_EXAMPLES: Final = """Start the server with TRADEPOST_RATE_LIMITS=off to see how fast it is.

Examples:
  tradepost simulate online_retail.csv.xz --limit 1000
  tradepost simulate online_retail.csv.xz --rate 50 --journal journal.jsonl"""
AUDIT_EXAMPLES: Final = """Ends with 1 when anything is violated, with 2 when it could not look.

Examples:
  tradepost audit
  tradepost audit --wait 5 --journal journal.jsonl"""

BACKUP_EXAMPLES: Final = """Examples:
  tradepost backup /backups/monday
  TRADEPOST_DATA=/srv/shop tradepost backup /backups/monday"""
RESTORE_EXAMPLES: Final = """Examples:
  TRADEPOST_DATA=/srv/again tradepost restore /backups/monday
  TRADEPOST_DATABASE_URL=postgresql://tradepost:secret@db.internal/again tradepost restore /backups/monday"""


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
    "tradepost.console.run:run",
    name="run",
    help="Run some of the services, the gateway or the relay in this process.",
    help_epilogue=RUN_EXAMPLES,
)
app.command(
    "tradepost.console.routes:routes",
    name="routes",
    help="List every endpoint, and who may call it.",
    help_epilogue=ROUTES_EXAMPLES,
)
app.command(
    "tradepost.console.import_:import_",
    name="import",
    help="Import products from a Shopify CSV.",
    help_epilogue=IMPORT_EXAMPLES,
)
app.command(
    "tradepost.console.simulate:simulate",
    name="simulate",
    help="Play a real order log through the API, then audit.",
    help_epilogue=SIMULATE_EXAMPLES,
)
app.command(
    "tradepost.console.audit.command:command",
    name="audit",
    help="Check that nothing was lost, sold twice or charged twice.",
    help_epilogue=AUDIT_EXAMPLES,
)
app.command(
    "tradepost.console.carrier:carrier", name="carrier", help="The local carrier, whose parcels move by a clock."
)
app.command("tradepost.console.log:log", name="log", help="The event log: lag, parked events, repair.")
app.command("tradepost.console.keys:keys", name="keys", help="The keys that sign access tokens.")
app.command("tradepost.console.events:events", name="events", help="What was published, and what came of it.")

app.command(
    "tradepost.console.backup.command:backup",
    name="backup",
    help="Write everything that the shop is into a folder, while it sells.",
    help_epilogue=BACKUP_EXAMPLES,
)
app.command(
    "tradepost.console.backup.command:restore",
    name="restore",
    help="Make a shop of a backup, in an empty place.",
    help_epilogue=RESTORE_EXAMPLES,
)


def main(words: Sequence[str] | None = None) -> None:
    """The entry point of `tradepost`. Words that are no command end it with 2 and one line."""
    try:
        app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        print(f"tradepost: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(MISUSED) from None
