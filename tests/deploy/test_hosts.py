"""The example of several hosts: what each one's Procfile starts is where the shared environment says that it is."""

import re
from collections import Counter
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.deploy.variables import DEPLOY, NAMES, PARTS, read_file, unknown
from tradepost import settings
from tradepost.main import Parts

HOSTS: Final = DEPLOY / "hosts"
PROCFILES: Final = sorted(HOSTS.glob("*.Procfile"))
LINE: Final = re.compile(r"([a-z0-9]+): HOST=(\S+) PORT=(\d+) tradepost run ([a-z]+)")


class Process(NamedTuple):
    machine: str
    host: str
    port: int
    part: str


@pytest.fixture(scope="module")
def shared() -> dict[str, str]:
    return read_file(HOSTS / "shop.env.example")


@pytest.fixture(scope="module")
def processes() -> list[Process]:
    """Every line of every Procfile; their names differ within one file."""
    found = []
    for procfile in PROCFILES:
        lines = [LINE.fullmatch(line) for line in procfile.read_text().splitlines()]
        assert all(lines), procfile
        matches = [line for line in lines if line]
        assert len({match[1] for match in matches}) == len(matches)
        found += [Process(procfile.stem, match[2], int(match[3]), match[4]) for match in matches]
    return found


def test_together_they_run_every_part(processes: list[Process]) -> None:
    assert sorted({process.part for process in processes}) == PARTS
    assert {part for part, n in Counter(process.part for process in processes).items() if n > 1} == {"order", "product"}


def test_tradepost_takes_the_environment_of_every_process(shared: dict[str, str], processes: list[Process]) -> None:
    for process in processes:
        environment = {**shared, "HOST": process.host, "PORT": str(process.port)}
        assert unknown(environment) == []
        read = settings.read(environment)
        assert (read.host, read.port) == (process.host, process.port)
        assert sorted(read.databases) == sorted(NAMES)
        Parts.of([process.part], read.broker.kind)


def test_every_instance_is_where_the_environment_says(shared: dict[str, str], processes: list[Process]) -> None:
    urls = settings.read(shared).urls
    assert {name: set(urls[name]) for name in NAMES} == {
        name: {f"http://{process.host}:{process.port}" for process in processes if process.part == name}
        for name in NAMES
    }


def test_a_process_listens_on_an_address_of_its_machine(processes: list[Process]) -> None:
    assert {process.host for process in processes if process.host != f"{process.machine}.internal"} == {"127.0.0.1"}
    assert {process.part for process in processes if process.host == "127.0.0.1"} == {"relay"}
    taken = Counter((process.machine, process.port) for process in processes)
    assert set(taken.values()) == {1}


def test_each_service_has_a_database_to_itself(shared: dict[str, str]) -> None:
    paths = [urlsplit(url).path for url in settings.read(shared).databases.values()]
    assert len(set(paths)) == len(NAMES)
