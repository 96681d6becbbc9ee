"""Every command of `tradepost` there is, by the words that it is called with."""

from collections.abc import Iterator

from cyclopts import App

from tradepost.cli import app


def pages(of: App = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all commands, those included that only hold others."""
    for name in of:
        if not name.startswith("-"):
            yield (*path, name)
            yield from pages(of[name], (*path, name))


def commands() -> list[str]:
    """Those that do something."""
    found = list(pages())
    return [" ".join(path) for path in found if not any(other[: len(path)] == path != other for other in found)]
