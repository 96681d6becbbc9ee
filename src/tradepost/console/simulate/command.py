"""`tradepost simulate`: from the file to the figures, and then the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from cyclopts.validators import Path as ExistingPath
from rich.console import Console

from tradepost import settings
from tradepost.console.audit.examine import audit
from tradepost.console.instance import Instance, database_urls, find_instance
from tradepost.console.progress import progress
from tradepost.console.simulate import report
from tradepost.console.simulate.client import Client, open_client
from tradepost.console.simulate.journal import Journal, open_journal
from tradepost.console.simulate.log import OrderLog, read_log
from tradepost.console.simulate.play import Outcomes, Play
from tradepost.console.simulate.settlement import Settlement, settle
from tradepost.console.simulate.shop import set_up
from tradepost.console.trouble import FAILED, failing
from tradepost.kernel.ids import new_id
from tradepost.settings import Settings

CONNECTIONS: Final = 64
STOCK_FACTOR: Final = 0.9
WAIT_S: Final = 120.0

File = Annotated[Path, Parameter(validator=ExistingPath(exists=True, dir_okay=False))]


@dataclass(frozen=True)
class _Options:
    connections: int
    rate: float | None
    stock_factor: float
    wait_s: float
    run: str
    journal: Path | None


def simulate(
    file: File,
    /,
    *,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    connections: Annotated[int, Parameter(validator=Number(gte=1, lte=1000))] = CONNECTIONS,
    stock_factor: Annotated[float, Parameter(validator=Number(gte=0, lte=100))] = STOCK_FACTOR,
    journal: Path | None = None,
    run: Annotated[str | None, Parameter(validator=lambda _, run: _check_run(run))] = None,
    wait: Annotated[float, Parameter(validator=Number(gte=0))] = WAIT_S,
) -> int:
    """Play a real order log through the API of the running instance, then audit it.

    Parameters
    ----------
    file
        A CSV as in UCI's "Online Retail", packed by xz or not.
    limit
        Only so many of its first invoices.
    rate
        Invoices a second; as fast as it goes without it.
    connections
        Invoices that are played at once.
    stock_factor
        Opening stock of each product, as a part of all that is ordered of it.
    journal
        Append each request, before it is sent, and each answer to this file.
    run
        Makes the keys of the requests: the same run again repeats no order. A new one by default.
    wait
        Seconds to wait until the last order is paid or cancelled.
    """
    options = _Options(connections, rate, stock_factor, wait, run or new_id()[-12:], journal)
    with failing():
        log = read_log(file, limit)
        room = settings.read()
        instance = find_instance(room)
        print(f"Run {options.run}: {report.plan(log)}", flush=True)
        return uvloop.run(_run(instance, log, options, room))


async def _run(instance: Instance, log: OrderLog, options: _Options, room: Settings) -> int:
    async with open_journal(options.journal) as journal:
        outcomes, settlement = await _simulated(instance, log, options, journal)
    code = await audit(database_urls(room), journal=options.journal, wait_s=options.wait_s, echo=print)
    return code or (FAILED if settlement.unsettled or outcomes.troubles else 0)


async def _simulated(
    instance: Instance, log: OrderLog, options: _Options, journal: Journal
) -> tuple[Outcomes, Settlement]:
    async with open_client(instance, journal, options.connections) as client:
        started = perf_counter()
        user_ids = await set_up(client, log, options.stock_factor)
        set_up_s = perf_counter() - started
        outcomes = await _played(client, log, options, user_ids)
        settlement = await settle(client, outcomes.order_ids, options.wait_s)
        console = Console(soft_wrap=True, highlight=False)
        for name, value in report.figures(outcomes, settlement, set_up_s, client.retries):
            console.print(f"{name:<24}{value}", markup=False)
        return outcomes, settlement


async def _played(client: Client, log: OrderLog, options: _Options, user_ids: Mapping[str, str]) -> Outcomes:
    play = Play(client, user_ids, options.run)
    with progress("invoices", len(log.invoices)) as done:
        return await play.play(log.invoices, options.connections, options.rate, done)


def _check_run(run: str | None) -> None:
    if run is not None and not (run.isascii() and run.isalnum() and len(run) <= 40):
        raise ValueError("a run is named by at most 40 letters and digits")
