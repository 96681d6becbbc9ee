"""`--help`: every command has examples of its own."""

from collections import Counter

import pytest

from tests.console.calling import tradepost
from tests.console.commands import pages


def examples(*path: str) -> list[str]:
    """Those on the page of the command."""
    lines = iter(tradepost("", *path, "--help", COLUMNS="200").out.splitlines())
    assert "Examples:" in lines
    return [line.strip() for line in lines if line.startswith("  ")]


@pytest.mark.parametrize("path", [(), *pages()], ids=" ".join)
def test_a_command_has_examples_in_which_it_is_called(path: tuple[str, ...]) -> None:
    own = " ".join(("tradepost", *path))

    found = examples(*path)

    assert any(f"{own} " in f"{line} " for line in found)
    assert [line for line in found if "tradepost " not in line] == []


def test_no_two_commands_have_the_same_examples() -> None:
    assert max(Counter(tuple(examples(*path)) for path in [(), *pages()]).values()) == 1
