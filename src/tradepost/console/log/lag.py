"""`tradepost log lag`."""

import asyncio
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tradepost import settings
from tradepost.console.databases import Connections, reached
from tradepost.console.log.standing import Standing, late, measured, standings
from tradepost.console.trouble import FAILED, STOPPED, failing, say
from tradepost.kernel.log.lag import RELAY

WAIT_S: Final = 60.0
POLL_S: Final = 0.25
LOOK_S: Final = 1.0  # between the two looks that a rate is measured with
BEHIND: Final = 1


def lag(
    *,
    watch: Annotated[bool, Parameter(negative=())] = False,
    wait: Annotated[list[float] | None, Parameter(consume_multiple=(0, 1), negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show for every group, and for every relay, how far it is behind each log that it reads. Of databases that can't
    be reached it says so, and shows the rest.

    Parameters
    ----------
    watch
        Look again every second, with the events taken in per second, until Ctrl-C.
    wait
        Return as soon as everyone is at the end; after so many seconds, 60 if none are given, give up. A database that
        can't be reached ends it at once.
    json
        One line of JSON per group and log.
    """
    with failing(stopped=0 if watch else STOPPED):
        seconds = None if wait is None else (wait[0] if wait else WAIT_S)
        code = asyncio.run(_lag(watch=watch, wait_s=seconds, json=json))
    raise SystemExit(code)


async def _lag(*, watch: bool, wait_s: float | None, json: bool) -> int:
    async with reached(settings.read()) as found:
        for trouble in found.troubles:
            say(trouble)
        if wait_s is not None:
            return FAILED if found.troubles else await _wait(found.connections, wait_s)
        if watch and found.connections:
            await _watch(found.connections, json=json)
        if found.connections:
            _print(await standings(found.connections), json=json)
        return FAILED if found.troubles else 0


async def _wait(connections: Connections, seconds: float) -> int:
    """Ask quickly until nobody is behind, then for good: each event is looked for once."""
    deadline = monotonic() + seconds
    while True:
        behind = late(await standings(connections)) or late(await standings(connections, thorough=True))
        if not behind:
            return 0
        if monotonic() >= deadline:
            return say(f"after {seconds:g} s still behind: {', '.join(behind)}", BEHIND)
        await asyncio.sleep(POLL_S)


async def _watch(connections: Connections, *, json: bool) -> None:
    """Until Ctrl-C."""
    console = Console()
    if json or not console.is_terminal:
        while True:
            _print(await measured(connections, LOOK_S), json=json)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_table(await measured(connections, LOOK_S)), refresh=True)


def _print(found: Sequence[Standing], *, json: bool) -> None:
    if json:
        for one in found:
            print(msgspec.json.encode(one).decode(), flush=True)
        return
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_table(found))
        return
    rows = [_cells(one) for one in found]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


COLUMNS: Final = ("group", "source", "how", "events behind", "seconds behind", "events/s", "processes")


def _table(found: Sequence[Standing]) -> Table:
    table = Table(*COLUMNS)
    for one in found:
        table.add_row(*_cells(one), style="red" if not one.stands else ("yellow" if one.events else None))
    return table


def _cells(one: Standing) -> tuple[str, ...]:
    events = str(one.events) if one.stands else f"all {one.events}: it stands nowhere"
    group = f"{one.source}'s relay" if one.group == RELAY else one.group
    rate = "" if one.rate is None else f"{one.rate:.0f}"
    return group, one.source, one.how, events, f"{one.seconds:.1f}", rate, str(one.processes)
