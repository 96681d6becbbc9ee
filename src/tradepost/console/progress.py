"""How far something is: a bar on a terminal, a line now and then elsewhere. On standard error, as it is no result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

LINE_S: Final = 5.0  # between two lines where there is no terminal

Done = Callable[[float], None]  # so much is done in all


@contextmanager
def progress(label: str, total: float | None, *, in_bytes: bool = False) -> Iterator[Done]:
    """Shown until the end of the block; call what it yields with what is done so far."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console, in_bytes) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _lines(label, total)


def _bar(console: Console, in_bytes: bool) -> Progress:
    count: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    return Progress(TextColumn("{task.description}"), BarColumn(), count, Elapsed(), console=console)


def _lines(label: str, total: float | None) -> Done:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    last = monotonic()

    def tell(done: float) -> None:
        nonlocal last
        if monotonic() - last >= LINE_S:
            last = monotonic()
            console.print(f"{label}: {done:.0f}" + (f" of {total:.0f}" if total else ""))

    return tell
