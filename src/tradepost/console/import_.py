"""`tradepost import`."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, Final

import aiohttp
import msgspec
import uvloop
from cyclopts import Parameter
from cyclopts.validators import Path as ExistingPath
from rich.console import Console
from rich.table import Table

from tradepost import settings
from tradepost.console.instance import Instance, find_instance
from tradepost.console.progress import Done, progress
from tradepost.console.trouble import failing
from tradepost.console.upload import send_file

CHUNK: Final = 64 * 1024  # bytes
REJECTED: Final = 1
SHOWN: Final = 20  # rejections on the screen, unless all of them go to a file

File = Annotated[Path, Parameter(validator=ExistingPath(exists=True, dir_okay=False))]


@dataclass
class _Reading:
    """The report as it comes in."""

    file: IO[bytes] | None
    console: Console
    rejections: Counter[str] = field(default_factory=Counter)
    summary: Mapping[str, object] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        if "summary" in line:
            self.summary = line["summary"]
        if self.file is not None:
            self.file.write(msgspec.json.encode(line) + b"\n")
        if line.get("kind") == "rejection":
            self.rejections[line["reason"]] += 1
            if self.rejections.total() <= SHOWN:
                self.console.print(_told(line), markup=False)


def import_(
    file: File,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    currency: str = "USD",
    report: Path | None = None,
) -> int:
    """Import products from a Shopify CSV into the running instance. Ends with 1 when a row was rejected.

    Parameters
    ----------
    file
        The CSV, of any size, in either of Shopify's dialects.
    dry_run
        Only check: nothing is stored.
    currency
        Of the prices in the file (ISO 4217).
    report
        Write the whole report into this file, as JSON lines.
    """
    query = {"currency": currency.upper(), **({"dry_run": "true"} if dry_run else {})}
    with failing():
        return uvloop.run(_import(find_instance(settings.read()), file, query, report))


async def _import(instance: Instance, path: Path, query: Mapping[str, str], report: Path | None) -> int:
    console = Console(soft_wrap=True, highlight=False)
    if report is None:
        reading = _Reading(None, console)
        await _read(instance, path, query, reading)
    else:
        with report.open("wb") as file:
            reading = _Reading(file, console)
            await _read(instance, path, query, reading)
    rejected = reading.rejections.total()
    if rejected > SHOWN:
        console.print(f"... and {rejected - SHOWN} more" + ("" if report else "; --report FILE has all of them"))
    console.print(_table(reading))
    return REJECTED if rejected else 0


async def _read(instance: Instance, path: Path, query: Mapping[str, str], reading: _Reading) -> None:
    with progress(path.name, path.stat().st_size, in_bytes=True) as done:
        async with aiohttp.ClientSession() as session:
            chunks = _chunks(path, done)
            async for line in send_file(session, instance, "/product/imports", "text/csv", chunks, query):
                reading.take(line)


async def _chunks(path: Path, done: Done) -> AsyncIterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
            sent += len(chunk)
            done(sent)


def _told(line: Mapping[str, Any]) -> str:
    handle = f" ({line['handle']})" if line.get("handle") else ""
    return f"line {line.get('line')}{handle}: {line['reason']}: {line.get('detail', '')}"


def _table(reading: _Reading) -> Table:
    table = Table("", "", show_header=False)
    for name, value in reading.summary.items():
        table.add_row(name.replace("_", " "), str(value))
    for reason, count in reading.rejections.most_common():
        table.add_row(f"rejected: {reason}", str(count))
    return table
