"""An event on the wire: what is written, and what is taken for an event."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.brokers.envelope import NotAnEvent, decode, encode
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw

ORDER: Final = "01a22234-a63a-765a-8b19-9a30df71b974"
EVENT: Final = Raw(
    position=17,
    id="01a22234-a63a-765a-8b19-9a36c8af4a10",
    type="order.created",
    key=ORDER,
    slot=slot_of(ORDER),
    sequence=1,
    time=datetime(2026, 11, 23, 8, 0, 0, 123000, UTC),
    correlation_id="request-1",
    causation_id="01a22234-a63a-765a-8b19-9a382336b1f5",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    data='{"order_id": "1", "total": 3998}',
)
WRITTEN: Final = {
    "specversion": "1.0",
    "id": "01a22234-a63a-765a-8b19-9a36c8af4a10",
    "source": "/order",
    "type": "order.created",
    "subject": ORDER,
    "time": "2026-11-23T08:00:00.123000Z",
    "datacontenttype": "application/json",
    "sequence": "1",
    "correlationid": "request-1",
    "causationid": "01a22234-a63a-765a-8b19-9a382336b1f5",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "position": "17",
    "data": {"order_id": "1", "total": 3998},
}

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
counts = st.integers(min_value=1, max_value=2**63 - 1)
ids = st.uuids().map(str)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def events(draw: st.DrawFn) -> Raw:
    key = draw(text.filter(bool))
    return Raw(
        position=draw(counts),
        id=draw(ids),
        type="order." + draw(text),
        key=key,
        slot=slot_of(key),
        sequence=draw(counts),
        time=draw(st.datetimes(timezones=st.just(UTC))),
        correlation_id=draw(text),
        causation_id=draw(st.none() | ids),
        traceparent=draw(st.none() | text),
        data=json.dumps(draw(st.dictionaries(st.text(), json_values))),
    )


@given(events())
def test_what_is_written_is_read_back_the_same(event: Raw) -> None:
    assert decode(encode("order", event)) == ("order", event)


def test_the_envelope_is_the_one_that_we_document() -> None:
    assert json.loads(encode("order", EVENT)) == WRITTEN


def test_an_event_without_cause_and_trace_has_no_such_attributes() -> None:
    written = json.loads(encode("order", msgspec.structs.replace(EVENT, causation_id=None, traceparent=None)))
    assert WRITTEN.keys() - written.keys() == {"causationid", "traceparent"}


def test_the_data_is_carried_letter_for_letter() -> None:
    odd = '{"b": 1,  "a": 1.50, "c": 18446744073709551616, "d": "\\u00e9"}'
    assert f'"data":{odd}'.encode() in encode("order", msgspec.structs.replace(EVENT, data=odd))


def test_a_time_on_the_full_second_keeps_its_fraction() -> None:
    full = msgspec.structs.replace(EVENT, time=EVENT.time.replace(microsecond=0))
    assert json.loads(encode("order", full))["time"] == "2026-11-23T08:00:00.000Z"
    assert decode(encode("order", full)) == ("order", full)


def test_the_time_is_always_utc() -> None:
    berlin = EVENT.time.astimezone(timezone(timedelta(hours=1)))
    assert json.loads(encode("order", msgspec.structs.replace(EVENT, time=berlin)))["time"] == WRITTEN["time"]
    _, read = decode(json.dumps({**WRITTEN, "time": "2026-11-23T09:00:00.123+01:00"}).encode())
    assert (read.time, read.time.tzinfo) == (EVENT.time, UTC)


def test_attributes_that_we_do_not_know_are_ignored() -> None:
    assert decode(json.dumps({**WRITTEN, "partitionkey": "x", "dataschema": None}).encode()) == ("order", EVENT)


def test_an_attribute_of_null_counts_as_absent() -> None:
    _, read = decode(json.dumps({**WRITTEN, "causationid": None, "traceparent": None}).encode())
    assert (read.causation_id, read.traceparent) == (None, None)


@pytest.mark.parametrize("attribute", sorted(WRITTEN.keys() - {"causationid", "traceparent"}))
def test_an_envelope_without_an_attribute_is_refused_by_name(attribute: str) -> None:
    body = {name: value for name, value in WRITTEN.items() if name != attribute}
    with pytest.raises(NotAnEvent, match=attribute):
        decode(json.dumps(body).encode())


WRONG: Final[tuple[tuple[str, Any], ...]] = (
    ("specversion", "0.3"),
    ("id", "not-a-uuid"),
    ("source", "order"),
    ("source", "/"),
    ("source", "/payment"),
    ("source", '/order"'),
    ("type", "order"),
    ("type", ""),
    ("subject", ""),
    ("subject", "a\0b"),
    ("correlationid", "a\0b"),
    ("traceparent", "a\0b"),
    ("causationid", "order-1"),
    ("time", "2026-11-23T08:00:00.123"),
    ("time", "yesterday"),
    ("time", "0001-01-01T00:00:00+12:00"),
    ("datacontenttype", "text/plain"),
    ("sequence", 1),
    ("sequence", "0"),
    ("sequence", "-1"),
    ("sequence", "1_0"),
    ("sequence", "٣"),
    ("sequence", "³"),
    ("position", "01"),
    ("position", str(2**63)),
    ("position", "9" * 5000),
    ("data", "{}"),
    ("data", []),
    ("data", None),
)


@pytest.mark.parametrize(("attribute", "value"), WRONG)
def test_a_wrong_attribute_is_refused(attribute: str, value: object) -> None:
    with pytest.raises(NotAnEvent):
        decode(json.dumps({**WRITTEN, attribute: value}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"hello",
        b"\xff\xfe",
        b'{"specversion":"1.0"',
        encode("order", EVENT) + b"x",
        encode("order", EVENT).replace(b"3998", b"39 98"),
        encode("order", EVENT).replace(b"3998", b'"\xff"'),
        encode("order", EVENT).replace(b"request-1", b"\xff"),
        encode("order", EVENT).replace(b"request-1", b"\\ud800"),
        encode("order", EVENT).replace(b"3998", b"[" * 100_000 + b"]" * 100_000),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnEvent, match="not an event"):
        decode(body)


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with pytest.raises(NotAnEvent):
        decode(body)
