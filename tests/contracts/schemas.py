"""Whether an event seen on the wire is what /asyncapi.json says of its type."""

from functools import cache
from typing import Any, Final

import msgspec
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tradepost.contracts import FACTS
from tradepost.gateway import asyncapi
from tradepost.kernel.brokers.envelope import decode
from tradepost.kernel.events import Fact
from tradepost.main import SERVICES

DOCUMENT: Final[dict[str, Any]] = asyncapi.document(FACTS, SERVICES, "Tradepost", "1.0.0")
TYPES: Final[dict[str, type[Fact]]] = {fact.type: fact for fact in FACTS}
_HERE: Final = "urn:asyncapi"


def validate(envelope: bytes) -> str:
    """The type of the event, which fits envelope, schema and contract. Errors: NotAnEvent, jsonschema.ValidationError,
    msgspec.ValidationError, KeyError (a type that is not published), ValueError (the subject is not the fact's key)."""
    _, event = decode(envelope)
    contract = TYPES[event.type]
    _validator(event.type).validate(msgspec.json.decode(envelope))
    fact = msgspec.json.decode(event.data, type=contract)
    if fact.key != event.key:
        raise ValueError(f"{event.type} about {fact.key} has the subject {event.key}")
    return event.type


@cache
def _validator(type_name: str) -> Draft7Validator:
    whole = Registry().with_resource(_HERE, DRAFT7.create_resource(DOCUMENT))
    message = {"$ref": f"{_HERE}#/components/messages/{type_name}/payload"}
    return Draft7Validator(message, registry=whole, format_checker=FormatChecker())
