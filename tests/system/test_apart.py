"""A shop in pieces, over each broker, whose processes and broker are killed while it sells."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import kafka, rabbitmq
from brokers.__main__ import nodes
from tests.brokers.conftest import without
from tests.console.order_log import HEADER
from tests.system.nemesis import BROKER, KINDS, prove

SECONDS = 20.0
RATE = 10.0


def _order_log() -> Iterator[str]:
    """Orders of ten customers and of guests, of three lines each."""
    dice = random.Random(11)
    yield HEADER
    for number in range(int(SECONDS * RATE)):
        customer = f"{dice.randrange(10)}.0" if number % 5 else ""
        at = f"2010-12-01 {8 + number // 60:02}:{number % 60:02}:00"
        for sku in dice.sample(range(12), 3):
            yield f"{number},SKU-{sku},THING {sku},{dice.randint(1, 6)},{at},{sku + 1}.50,{customer},France\n"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_and_nothing_happens_twice_though_everything_is_killed(kind: str, tmp_path: Path) -> None:
    installed = {
        "rabbitmq": rabbitmq.program() is not None,
        "kafka": kafka.is_installed(kafka.jars_in(nodes()["kafka"].folder.parent)),
    }
    if not installed[kind]:
        without(f"{kind} is not installed; `make {kind}` does it")
    file = tmp_path / "log.csv"
    file.write_text("".join(_order_log()))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tmp_path.parent.parent):
            folder.chmod(0o755)  # PostgreSQL runs as another user than root

    faults = prove(kind, file, tmp_path, SECONDS, RATE, seed=5, broker_kills=1)

    assert BROKER in {fault.victim for fault in faults}
