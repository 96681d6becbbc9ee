"""An event as it travels over a broker: a CloudEvents 1.0 envelope, structured JSON, around the data of the log."""

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, NoReturn, TypeVar

import msgspec

from tradepost.kernel.clock import rfc3339
from tradepost.kernel.ids import is_id
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw

CONTENT_TYPE: Final = "application/cloudevents+json"
COUNT_LIMIT: Final = 2**63  # what PostgreSQL's bigint holds, plus one
COUNT_DIGITS: Final = len(str(COUNT_LIMIT))

Text = Annotated[str, msgspec.Meta(min_length=1)]
Time = TypeVar("Time")


class NotAnEvent(ValueError):
    """The message is not an event as Tradepost publishes them, now or ever: trying again does not help."""


class _Envelope(msgspec.Struct, Generic[Time], frozen=True, kw_only=True, omit_defaults=True, gc=False):
    specversion: Literal["1.0"]
    id: str
    source: str
    type: Text
    subject: Text
    time: Time
    datacontenttype: Literal["application/json"]
    sequence: str
    correlationid: str
    causationid: str | None = None
    traceparent: str | None = None
    position: str
    data: msgspec.Raw


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Envelope[_Moment]).decode


def encode(source: str, raw: Raw) -> bytes:
    """The envelope of an event from the log of service `source`; its data is not parsed."""
    time = raw.time.astimezone(UTC)
    return _encode(
        _Envelope(
            specversion="1.0",
            id=raw.id,
            source="/" + source,
            type=raw.type,
            subject=raw.key,
            # Without microseconds the encoder would leave the fraction out, which some readers insist on.
            time=time if time.microsecond else rfc3339(time),
            datacontenttype="application/json",
            sequence=str(raw.sequence),
            correlationid=raw.correlation_id,
            causationid=raw.causation_id,
            traceparent=raw.traceparent,
            position=str(raw.position),
            data=msgspec.Raw(raw.data),
        )
    )


def decode(body: bytes) -> tuple[str, Raw]:
    """The publisher's name and the event; attributes that are not ours are ignored. Errors: NotAnEvent."""
    try:
        return _event(_decode(body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise NotAnEvent(f"not an event: {error}") from error


def _event(read: _Envelope[datetime]) -> tuple[str, Raw]:
    source = read.source[1:]
    if read.source[0:1] != "/" or not read.type.startswith(source + ".") or not source.isidentifier():
        _refuse("source", f"{read.source!r} does not publish {read.type!r}")
    if not is_id(read.id):
        _refuse("id", f"{read.id!r} is not a UUID")
    if read.causationid is not None and not is_id(read.causationid):
        _refuse("causationid", f"{read.causationid!r} is not a UUID")
    for text in (read.subject, read.correlationid, read.traceparent):
        if text is not None and "\0" in text:
            _refuse("subject, correlationid or traceparent", "a NUL can't be stored")
    data = str(read.data, "utf-8")
    if data[0] != "{":
        _refuse("data", "not an object")
    return source, Raw(
        _count("position", read.position),
        read.id,
        read.type,
        read.subject,
        slot_of(read.subject),
        _count("sequence", read.sequence),
        read.time.astimezone(UTC),
        read.correlationid,
        read.causationid,
        read.traceparent,
        data,
    )


def _count(attribute: str, text: str) -> int:
    count = int(text) if text.isdecimal() and len(text) <= COUNT_DIGITS else 0
    if str(count) != text or not 0 < count < COUNT_LIMIT:
        _refuse(attribute, f"{text[:40]!r} is not a count that the log can hold")
    return count


def _refuse(attribute: str, why: str) -> NoReturn:
    raise NotAnEvent(f"not an event: {attribute}: {why}")
