"""Calling `tradepost` on a shop of the tests, as its operator does."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests import databases
from tradepost.cli import main


@dataclass(frozen=True)
class Called:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def tradepost(database_url: str, *words: str, **environment: str) -> Called:
    """Run a command to its end in this process, where nobody can be asked. Not in a running loop."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
    found = {"TRADEPOST_DATABASE_URL": database_url, "TRADEPOST_SECRET": databases.SECRET, **environment}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {**ours, **found}, clear=True),
        patch("sys.stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = _ended(words)
    return Called(code, out.getvalue(), err.getvalue())


def _ended(words: tuple[str, ...]) -> int:
    try:
        main(words)
    except SystemExit as end:
        code: Any = end.code
        return int(code or 0)
    return 0
