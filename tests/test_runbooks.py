"""Each alert has a runbook, each runbook an alert, and all that they name exists."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.shop import eventually, open_shop
from tradepost.cli import app
from tradepost.gateway import api
from tradepost.gateway.routes import Routes, Table
from tradepost.main import SERVICES

FOLDER: Final = Path(__file__).parents[1] / "docs" / "runbooks"
RUNBOOKS: Final = sorted(FOLDER.glob("*.md"))
PARTS: Final = ("**Means.**", "**Look.**", "**Repair.**", "**Over when**")
WITHOUT_ALERT: Final = {"disk-full": "There is no alert of\nours for it"}
COMMAND: Final = re.compile(r"^(?:[A-Z_]+=\S+ )*tradepost (.+)$")
HOWTOS: Final = sorted((FOLDER.parent / "howto").glob("*.md"))
SAMPLE: Final = re.compile(r"_(bucket|sum|count)$")  # of a histogram
METRIC: Final = re.compile(r"\b(?:tradepost|process)_[a-z_]+\b")
LINK: Final = re.compile(r"\]\(([\w-]+\.md)\)")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def commands(text: str) -> list[str]:
    """Those in blocks of code and in the sentences."""
    blocks = [line for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines()]
    quoted = re.findall(r"`((?:[A-Z_]+=\S+ )*tradepost [^`]+)`", re.sub(r"```\n.*?```", "", text, flags=re.S))
    return [match[1] for line in (*blocks, *quoted) if (match := COMMAND.match(line))]


def parse(command: str) -> None:
    """Errors: whatever the command line says against it."""
    app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)


def test_alerts_and_runbooks_have_the_same_names() -> None:
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    assert set(names) | WITHOUT_ALERT.keys() == {path.stem for path in RUNBOOKS}
    for name, says in WITHOUT_ALERT.items():
        assert says in (FOLDER / f"{name}.md").read_text()


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_and_how_to_look_repair_and_know_that_it_is_over(path: Path) -> None:
    text = path.read_text()

    assert text.startswith(f"# {path.stem}\n")
    assert sorted(PARTS, key=text.index) == list(PARTS)
    assert [link for link in LINK.findall(text) if not (FOLDER / link).exists()] == []


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_every_command_in_a_runbook_is_one(path: Path) -> None:
    for command in commands(path.read_text()):
        parse(command)


def test_a_command_that_is_none_would_be_noticed() -> None:
    assert commands("so `tradepost log lgo`:\n```\nA=b tradepost log lag --wiat 3\n```") == [
        "log lag --wiat 3", "log lgo",
    ]  # fmt: skip
    for wrong in ("log lag --wiat 3", "log lgo", "events show", "log retry a b c"):
        with pytest.raises(Exception, match=r"."):
            parse(wrong)


def test_what_it_means_that_a_job_fails_is_told_of_each() -> None:
    named = {job.name for service in SERVICES for job in service.jobs}
    text = (FOLDER / "jobs-fail.md").read_text()

    assert len(named) > 8
    assert {name for name in named if f"`{name}`" not in text} == set()


def test_every_limit_that_makes_calls_fail_is_told() -> None:
    sources = "".join(path.read_text() for path in (FOLDER.parents[1] / "src").rglob("*.py"))
    refused = re.findall(r'Unavailable\("([^"]+)", code="(overloaded|stopping)"', sources)
    text = (FOLDER / "calls-fail.md").read_text()

    assert len(refused) > 5
    assert {code for _, code in refused if f"| 503 | `{code}` |" not in text} == set()
    assert {detail for detail, code in refused if code == "overloaded" and f"`{detail}`" not in text} == set()


def test_answers_that_take_as_long_as_their_clients_like_are_not_slow() -> None:
    (expr,) = [rule["expr"] for rule in rules() if rule["alert"] == "slow-answers"]
    (passed_over,) = re.findall(r'route!~"([^"]+)"', expr)
    tables = [*(Table(service.name, service.endpoints) for service in SERVICES), Table("gateway", api.endpoints)]
    routes = Routes(tables).all
    lasting = {route.endpoint.path for route in routes if route.is_stream or route.is_upload}

    assert len(lasting) > 3
    assert {route.endpoint.path for route in routes if re.fullmatch(passed_over, route.endpoint.path)} == lasting | {
        "/health", "/livez", "/readyz", "/metrics",
    }  # fmt: skip


async def test_every_metric_that_is_named_is_on_the_page(database_url: str, tmp_path: Path) -> None:
    texts = [rule["expr"] for rule in rules()] + [path.read_text() for path in (*RUNBOOKS, *HOWTOS)]
    named = {SAMPLE.sub("", name) for text in texts for name in METRIC.findall(text)}
    async with open_shop(database_url, tmp_path) as shop:
        await shop.public.get("/metrics")
        page = await eventually(lambda: shop.public.get("/metrics"), lambda page: b"overdue 0.0" in page.body)
    defined = set(re.findall(r"^# HELP (\S+) ", page.body.decode(), re.M))

    assert len(named) > 8
    assert named - defined == set()
