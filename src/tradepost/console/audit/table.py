"""What an audit has found, as a table: colours on a terminal, plain text elsewhere."""

import sys
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradepost.console.audit.check import Finding

PLAIN_WIDTH: Final = 160


def show(findings: Sequence[Finding], orders: int, echo: Callable[[str], None]) -> None:
    """The table and one line of conclusion."""
    colours = sys.stdout.isatty()
    console = Console(file=StringIO(), force_terminal=colours, width=None if colours else PLAIN_WIDTH)
    with console.capture() as drawn:
        console.print(_table(findings, box.SIMPLE_HEAD if colours else None))
    for line in drawn.get().splitlines():
        echo(line.rstrip())
    violations = sum(finding.violations for finding in findings)
    if violations:
        echo(f"audit: {violations} violation{'s' if violations > 1 else ''}")
    else:
        echo(f"audit: clean ({len(findings)} checks, {orders} orders)")


def _table(findings: Sequence[Finding], edges: box.Box | None) -> Table:
    table = Table(box=edges, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("violations", justify="right", no_wrap=True)
    table.add_column("what must be true", overflow="fold")
    for finding in findings:
        ok = not finding.violations
        result = Text("ok", "green") if ok else Text("VIOLATED", "bold red")
        told = Text("\n".join((finding.sentence, *(f"  {example}" for example in finding.examples))))
        table.add_row(finding.check, result, str(finding.violations or ""), told)
    return table
