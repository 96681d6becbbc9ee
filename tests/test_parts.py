"""What one process runs, by the names that it is given."""

import pytest

from tradepost.main import ALL, GATEWAY, RELAY, SERVICES, Parts
from tradepost.settings import SettingsError

NAMES = [service.name for service in SERVICES]


def shown(parts: Parts) -> tuple[list[str], bool, bool]:
    return [service.name for service in parts.services], parts.gateway, parts.relay


@pytest.mark.parametrize("broker", ["log", "rabbitmq", "kafka"])
def test_any_of_them_alone_and_all_together(broker: str) -> None:
    assert shown(Parts.of(["payment", "order"], broker)) == (["order", "payment"], False, False)
    assert shown(Parts.of([GATEWAY], broker)) == ([], True, False)
    assert shown(Parts.of([*NAMES, GATEWAY], broker)) == (NAMES, True, False)
    assert shown(Parts.of([ALL], broker)) == (NAMES, True, broker != "log")


def test_a_relay_needs_a_broker() -> None:
    assert shown(Parts.of([RELAY, "order"], "kafka")) == (["order"], False, True)
    with pytest.raises(SettingsError, match="a relay publishes on a broker"):
        Parts.of([RELAY], "log")


@pytest.mark.parametrize("name", ["web", "orders", "", "Order"])
def test_what_there_is_not_is_refused_and_what_there_is_named(name: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Parts.of(["order", name], "log")
    assert str(refusal.value) == f"{name!r} can't be run; there are {', '.join([*NAMES, GATEWAY, RELAY, ALL])}"
