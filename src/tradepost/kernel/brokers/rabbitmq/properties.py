"""The properties of a message as AMQP 0-9-1 writes them (section 4.2.6.1). Those of an event are always the same seven;
a library that can write all of them takes six times as long."""

from struct import Struct
from typing import Final

from tradepost.kernel.brokers.envelope import CONTENT_TYPE
from tradepost.kernel.brokers.rabbitmq.topology import SUBJECT
from tradepost.kernel.log.batch import Raw

PERSISTENT: Final = b"\x02"
SHORT: Final = 255  # bytes that a short text can hold

_WITH_CORRELATION: Final = b"\xb4\xe0"  # content type, headers, delivery mode, correlation, id, time and type
_WITHOUT: Final = b"\xb0\xe0"
_long: Final = Struct(">I").pack
_time: Final = Struct(">Q").pack


def of_event(event: Raw) -> bytes:
    """Persistent, with the event's id, type, key and time, and its correlation id where that is short enough."""
    key, correlation = event.key.encode(), event.correlation_id.encode()
    headers = _short(SUBJECT.encode()) + b"S" + _long(len(key)) + key
    fits = len(correlation) <= SHORT
    return b"".join(
        (
            _WITH_CORRELATION if fits else _WITHOUT,
            _CONTENT_TYPE,
            _long(len(headers)),
            headers,
            PERSISTENT,
            _short(correlation) if fits else b"",
            _short(event.id.encode()),
            _time(int(event.time.timestamp())),
            _short(event.type.encode()),
        )
    )


def _short(text: bytes) -> bytes:
    return len(text).to_bytes(1, "big") + text


_CONTENT_TYPE: Final = _short(CONTENT_TYPE.encode())
