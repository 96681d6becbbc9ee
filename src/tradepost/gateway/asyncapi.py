"""The published facts as an AsyncAPI 3.0 document: what travels where, who sends it and who receives it."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tradepost.kernel.brokers.envelope import CONTENT_TYPE
from tradepost.kernel.events import Fact
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.service import Service

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = (
    "Every fact that a service publishes, as a CloudEvents 1.0 envelope in structured JSON. Facts of one subject keep "
    "their order; an event can come more than once, so tell repetitions by `id`. Events change by added optional "
    "fields only: ignore what you do not know."
)
_AMQP: Final = {"bindingVersion": "0.3.0"}
_KAFKA: Final = {"bindingVersion": "0.5.0"}
_HOST: Final[Json] = {"default": "127.0.0.1", "description": "Where the broker listens."}
_SERVERS: Final[Json] = {
    "rabbitmq": {
        "host": "{host}:{port}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ, when TRADEPOST_BROKER is `rabbitmq`: bind a queue of your own to an exchange.",
        "variables": {"host": _HOST, "port": {"default": "5672"}},
    },
    "kafka": {
        "host": "{host}:{port}",
        "protocol": "kafka",
        "description": "Kafka, when TRADEPOST_BROKER is `kafka`: read a topic with a consumer group of your own.",
        "variables": {"host": _HOST, "port": {"default": "9092"}},
    },
}
_COUNT: Final = {"type": "string", "pattern": "^[1-9][0-9]*$"}
_ENVELOPE: Final[Json] = {
    "specversion": {"type": "string", "const": "1.0"},
    "id": {"type": "string", "format": "uuid", "description": "Of the event, the same whenever it comes again."},
    "source": {"type": "string", "format": "uri-reference", "description": "The service that publishes it."},
    "type": {"type": "string", "description": "What happened; the routing key on RabbitMQ."},
    "subject": {"type": "string", "minLength": 1, "description": "What it happened to; the key on Kafka."},
    "time": {"type": "string", "format": "date-time", "description": "When it was recorded, in UTC."},
    "datacontenttype": {"type": "string", "const": "application/json"},
    "sequence": {**_COUNT, "description": "Grows with each event of one subject."},
    "correlationid": {"type": "string", "description": "The request or event that everything of the story began with."},
    "causationid": {"type": "string", "format": "uuid", "description": "The event that led to this one, if one did."},
    "traceparent": {"type": "string", "description": "W3C Trace Context, if the request was traced."},
    "position": {**_COUNT, "description": "Of the event in its publisher's log."},
}
_OPTIONAL: Final = frozenset({"causationid", "traceparent"})


def document(facts: Sequence[type[Fact]], services: Sequence[Service], title: str, version: str) -> Json:
    """The document of all `facts`, and of the consumer groups of `services`, which read nothing but `facts`."""
    schemas, components = msgspec.json.schema_components(facts, ref_template=_REFERENCE)
    published: dict[str, list[type[Fact]]] = {}
    for fact in facts:
        published.setdefault(fact.publisher(), []).append(fact)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{title} events", "version": version, "description": _DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "servers": _SERVERS,
        "channels": {_name(publisher): _channel(publisher, of) for publisher, of in published.items()},
        "operations": {
            **{f"{publisher}_publishes": _sends(publisher, of) for publisher, of in published.items()},
            **{name: receives for service in services for name, receives in _received(service)},
        },
        "components": {
            "schemas": components,
            "messages": {fact.type: _message(fact, schema) for fact, schema in zip(facts, schemas, strict=True)},
        },
    }


def _name(publisher: str) -> str:
    return f"{publisher}_events"


def _channel(publisher: str, facts: Sequence[type[Fact]]) -> Json:
    name = _name(publisher)
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}
    return {
        "address": name,
        "title": f"Events of {publisher}",
        "description": "An exchange on RabbitMQ, with `type` as the routing key; a topic on Kafka, keyed by `subject`.",
        "messages": {fact.type: {"$ref": f"#/components/messages/{fact.type}"} for fact in facts},
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": exchange, **_AMQP},
            "kafka": {"topic": name, **_KAFKA},
        },
    }


def _message(fact: type[Fact], data: Json) -> Json:
    return {
        "name": fact.type,
        "title": fact.type.replace(".", " ").replace("_", " ").capitalize(),
        "summary": " ".join((inspect.getdoc(fact) or "").split()),
        "contentType": CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {
            "type": "object",
            "required": [*(name for name in _ENVELOPE if name not in _OPTIONAL), "data"],
            "properties": {
                **_ENVELOPE,
                "source": {**_ENVELOPE["source"], "const": f"/{fact.publisher()}"},
                "type": {**_ENVELOPE["type"], "const": fact.type},
                "data": data,
            },
        },
        "bindings": {
            "amqp": {"messageType": fact.type, **_AMQP},
            "kafka": {"key": {"type": "string", "description": "The event's `subject`."}, **_KAFKA},
        },
    }


def _sends(publisher: str, facts: Sequence[type[Fact]]) -> Json:
    return {
        "action": "send",
        "title": f"{publisher} publishes",
        "summary": f"Everything that {publisher} tells the others, each fact after it was committed.",
        **_over(publisher, facts),
        "bindings": {"amqp": {"deliveryMode": 2, **_AMQP}},
    }


def _received(service: Service) -> Iterator[tuple[str, Json]]:
    for group in service.groups:
        for source in group.sources():
            yield f"{group.name}_receives_{_name(source)}", _receives(service, group, source)


def _receives(service: Service, group: Group, source: str) -> Json:
    return {
        "action": "receive",
        "title": f"{group.name} reads {source}",
        "summary": f"What the group {group.name} of the service {service.name} learns from {source}.",
        **_over(source, [subscription.fact for subscription in group.of(source).values()]),
        "bindings": {"amqp": {"ack": True, **_AMQP}},
    }


def _over(publisher: str, facts: Sequence[type[Fact]]) -> Json:
    channel = f"#/channels/{_name(publisher)}"
    return {
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{fact.type}"} for fact in facts],
    }
