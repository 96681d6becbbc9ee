"""Events that are out there already are read by today's contracts, and mean what they meant."""

import json
from typing import Any, ClassVar, Final

import jsonschema
import msgspec
import pytest

from tests.contracts import sale
from tests.contracts.schemas import TYPES, validate
from tests.contracts.versions import keeps, newer, older
from tradepost.contracts import FACTS
from tradepost.contracts.inventory import InventoryLow
from tradepost.kernel.brokers.envelope import NotAnEvent, decode, encode
from tradepost.kernel.events import Fact

EXPECTED: Final = {fact.type: fact for fact in sale.FACTS}

every_type = pytest.mark.parametrize("name", sorted(TYPES))


def body(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(sale.golden(name).read_bytes())
    return read


def wire(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def written(fact: Fact) -> Any:
    return json.loads(msgspec.json.encode(fact))


def data_of(envelope: bytes) -> str:
    return decode(envelope)[1].data


def test_every_fact_has_a_golden_event_and_every_golden_event_a_fact() -> None:
    assert sorted(path.stem for path in sale.GOLDEN.iterdir()) == sorted(fact.type for fact in FACTS)
    assert sorted(EXPECTED) == sorted(fact.type for fact in sale.FACTS) == sorted(TYPES)


@every_type
def test_a_golden_event_is_read_as_the_fact_that_it_told(name: str) -> None:
    source, event = decode(sale.golden(name).read_bytes())
    fact = msgspec.json.decode(event.data, type=TYPES[name])
    assert fact == EXPECTED[name]
    assert (source, event.type, event.key) == (fact.publisher(), name, fact.key)


@every_type
def test_a_golden_event_is_written_again_as_it_was(name: str) -> None:
    source, event = decode(sale.golden(name).read_bytes())
    fact = msgspec.json.decode(event.data, type=TYPES[name])
    again = encode(source, msgspec.structs.replace(event, data=msgspec.json.encode(fact).decode()))
    assert keeps(body(name), json.loads(again))


@every_type
def test_a_golden_event_fits_the_published_schema(name: str) -> None:
    assert validate(sale.golden(name).read_bytes()) == name


@every_type
def test_an_event_of_an_older_publisher_is_read(name: str) -> None:
    whole = body(name)
    known = older(whole["data"], TYPES[name])
    old = wire({**whole, "data": known})
    fact = msgspec.json.decode(data_of(old), type=TYPES[name])
    assert validate(old) == name
    assert keeps(known, written(fact))


@every_type
def test_an_event_of_a_newer_publisher_is_read_as_far_as_it_is_known(name: str) -> None:
    whole = body(name)
    new = wire({**whole, "dataschema": "/v2", "data": newer(whole["data"])})
    assert validate(new) == name
    assert msgspec.json.decode(data_of(new), type=TYPES[name]) == EXPECTED[name]


def test_an_older_form_lacks_what_is_optional_at_any_depth() -> None:
    known = older(body("order.created")["data"], TYPES["order.created"])
    assert sorted(known) == ["currency", "items", "number", "order_id", "total_amount"]
    assert sorted(known["items"][0]) == ["price", "product_id", "quantity", "sku", "variant_id"]


class Renamed(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = InventoryLow.type
    key_field: ClassVar[str] = "sku"
    sku: str
    available: int
    limit: int = 0  # was `threshold`


class Narrowed(InventoryLow, frozen=True, kw_only=True):
    location: str  # required, and no older event has it


class Retyped(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = InventoryLow.type
    key_field: ClassVar[str] = "sku"
    sku: str
    available: int
    threshold: str


class Extended(InventoryLow, frozen=True, kw_only=True):
    location: str | None = None


def survives(contract: type[Fact]) -> bool:
    """Whether a golden event is read by `contract` and written again as it was."""
    whole = body("inventory.low")["data"]
    try:
        fact = msgspec.json.decode(json.dumps(whole), type=contract)
    except msgspec.ValidationError:
        return False
    return keeps(whole, written(fact))


@pytest.mark.parametrize("contract", [Renamed, Narrowed, Retyped])
def test_an_incompatible_change_of_a_contract_would_be_noticed(contract: type[Fact]) -> None:
    assert not survives(contract)


def test_an_added_optional_field_is_a_compatible_change() -> None:
    assert survives(Extended)


@pytest.mark.parametrize(
    ("attribute", "value", "error"),
    [
        ("type", "order.invented", KeyError),
        ("source", "/payment", NotAnEvent),
        ("subject", "another", ValueError),
        ("data", {}, jsonschema.ValidationError),
        ("data", {**body("order.created")["data"], "total_amount": "3998"}, jsonschema.ValidationError),
    ],
)
def test_a_message_that_does_not_keep_the_contract_would_be_noticed(
    attribute: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        validate(wire({**body("order.created"), attribute: value}))
