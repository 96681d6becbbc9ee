"""What an event's message says about itself is what the library for AMQP would write."""

from datetime import UTC, datetime
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st
from pamqp.commands import Basic

from tradepost.kernel.brokers.rabbitmq import properties
from tradepost.kernel.brokers.rabbitmq.topology import SUBJECT
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.batch import Raw

TEXTS: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
TIMES: Final = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(TEXTS, TEXTS, TIMES)
@example("key", "x" * 255, datetime(2026, 11, 29, tzinfo=UTC))
@example("key", "x" * 256, datetime(2026, 11, 29, tzinfo=UTC))
def test_the_properties_are_those_that_the_library_writes(key: str, correlation_id: str, time: datetime) -> None:
    event = Raw(1, new_id(), "order.created", key, 0, 1, time, correlation_id, None, None, "{}")
    fits = len(correlation_id.encode()) <= 255

    written = properties.of_event(event)

    assert written == (
        Basic.Properties(
            content_type="application/cloudevents+json",
            delivery_mode=2,
            message_id=event.id,
            message_type=event.type,
            correlation_id=correlation_id if fits else None,
            timestamp=time,
            headers={SUBJECT: key},
        ).marshal()
    )
