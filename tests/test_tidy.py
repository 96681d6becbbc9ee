"""What we agreed on about the look of the house: lengths, names, and guides that name only what exists."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
LONGEST_FILE: Final = 300  # lines
BANNED: Final = re.compile(r"(^|_)(utils?|helpers?|common|base|manager|misc)$")
GUIDES: Final = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
SOURCES: Final = sorted((ROOT / "src").rglob("*.py"))
PATH: Final = re.compile(r"`((?:src|tests|docs|bench|\.ci|kernel|gateway|services|contracts|console)/[\w./-]+)`")
UNFINISHED: Final = re.compile(r"\b(TO" r"DO|FIX" r"ME)\b")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("source", SOURCES, ids=relative)
def test_a_file_is_short_named_well_and_says_what_it_is_for(source: Path) -> None:
    text = source.read_text()
    assert text.count("\n") <= LONGEST_FILE
    assert not BANNED.search(source.stem), f"{source.stem} says nothing about what is in it"
    assert text.startswith('"""'), "its first line says what it is for"
    assert not UNFINISHED.search(text)


def test_a_bad_name_would_be_noticed() -> None:
    assert BANNED.search("string_utils")
    assert not BANNED.search("database")


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_that_a_guide_names_exists(guide: str) -> None:
    named = PATH.findall((ROOT / guide).read_text())
    assert [path for path in named if not any((root / path).exists() for root in (ROOT, ROOT / "src/tradepost"))] == []


def test_every_target_of_make_has_a_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.M)).split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", text, re.M))
