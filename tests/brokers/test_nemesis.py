"""Seven services, relay and gateway as processes on a broker, killed at random for some seconds: see `make nemesis`."""

import tempfile
from pathlib import Path

import pytest

from brokers import kafka, rabbitmq
from brokers.__main__ import nodes
from tests.brokers.conftest import without
from tests.console.order_log import invoices
from tests.system.nemesis import BROKER, KINDS, prove

SECONDS = 15.0
RATE = 10.0  # invoices a second


@pytest.mark.xdist_group("nemesis")
@pytest.mark.parametrize("kind", KINDS)
def test_a_shop_in_pieces_loses_nothing_and_does_nothing_twice(kind: str) -> None:
    installed = (
        rabbitmq.program() if kind == "rabbitmq" else kafka.is_installed(kafka.jars_in(nodes()[kind].folder.parent))
    )
    if not installed:
        without(f"{kind} is not installed; `make {kind}` does it")
    with tempfile.TemporaryDirectory(prefix="nemesis-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        log = folder / "log.csv"
        log.write_text("".join(invoices()))
        faults = prove(kind, log, folder, SECONDS, RATE, seed=7, broker_kills=1)
    victims = {fault.victim for fault in faults}
    assert BROKER in victims
    assert victims != {BROKER}
