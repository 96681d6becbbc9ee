"""The page about the log has every line from `warning` on, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "howto" / "log-lines.md"
LEVELS: Final = ("warning", "warn", "error", "critical", "fatal", "exception")


def named(source: str) -> Iterator[str]:
    """The names of what is logged so that somebody should see it. A function may get the name as its first argument."""
    tree = ast.parse(source)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS and call.args:
            yield from _values(tree, call.args[0])


def _values(tree: ast.Module, name: ast.expr) -> Iterator[str]:
    if isinstance(name, ast.Constant):
        yield str(name.value)
        return
    [owner] = [one for one in tree.body if isinstance(one, ast.FunctionDef) and name in ast.walk(one)]
    assert isinstance(name, ast.Name)
    assert owner.args.args[0].arg == name.id
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == owner.name]
    for call in calls:
        yield from _values(tree, call.args[0])


def logged() -> set[str]:
    return {name for path in (ROOT / "src").rglob("*.py") for name in named(path.read_text())}


def test_every_line_is_explained_and_every_explanation_is_of_a_line() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.M)

    assert sorted(explained) == sorted(logged())
    assert len(explained) > 30


def test_a_line_of_any_kind_would_be_noticed() -> None:
    source = """
def tell(what, error):
    logger.error(what, why=str(error))

def run(self):
    self._log.warning("first")
    _log.exception("second")
    logger.info("none")
    tell("third", error)
    task.exception()
"""
    assert sorted(named(source)) == ["first", "second", "third"]
    with pytest.raises(ValueError, match="not enough values"):
        list(named("logger.error(what)"))  # where nobody can tell which


def test_every_page_that_it_names_exists() -> None:
    text = PAGE.read_text()
    links = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.M))
    used = set(re.findall(r"\[([\w-]+)\](?![:(])", text))

    assert used == links.keys()
    targets = [*links.values(), *re.findall(r"\]\(([^)]+\.md)\)", text)]
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
    assert all(target.endswith(f"/{name}.md") for name, target in links.items())
