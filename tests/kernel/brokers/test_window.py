"""The newest records of a partition: nothing that is asked for is left out, nothing that nobody took is dropped."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.brokers.kafka import feed
from tradepost.kernel.brokers.kafka.feed import Window
from tradepost.kernel.brokers.kafka.fetching import Record
from tradepost.kernel.log.batch import Raw

EVENT = Raw(1, "", "probe.moved", "a", 0, 1, datetime(2026, 11, 29, tzinfo=UTC), "test", None, None, "{}")
BEGIN = 100

gaps = st.lists(st.integers(1, 3), min_size=1, max_size=30)  # offsets may be left out, but never come twice
steps = st.lists(st.tuples(gaps, st.integers(0, 80)), max_size=60)


@given(steps, st.integers(1, 600_000))
def test_who_stands_within_reach_gets_all_that_was_fetched_behind_him(
    fetched: list[tuple[list[int], int]], size: int
) -> None:
    window = Window("probe", BEGIN)
    everything: list[int] = []
    for run, taken in fetched:
        records = []
        for gap in run:
            everything.append((everything[-1] if everything else BEGIN - 1) + gap)
            records.append(Record(everything[-1], size, EVENT))
        window.add(records)
        window.taken = max(window.taken, everything[min(taken, len(everything) - 1)])
        is_full = window.is_full()

        kept = [record.offset for record in window.records]
        assert kept == everything[len(everything) - len(kept) :]
        assert set(kept) >= {offset for offset in everything if offset >= window.taken}
        if not is_full:
            assert len(kept) <= feed.KEPT_RECORDS
            assert len(kept) * size <= feed.KEPT_BYTES
        for at in range(BEGIN, window.end + 2):
            if window.reaches(at):
                assert [r.offset for r in window.after(at)] == [offset for offset in everything if offset >= at]
        assert window.reaches(window.taken)
        assert not window.reaches(window.end + 1)


def test_a_window_is_empty_at_first_and_reaches_where_it_begins() -> None:
    window = Window("probe", BEGIN)
    assert [window.reaches(BEGIN + by) for by in (-1, 0, 1)] == [False, True, False]
    assert (window.after(BEGIN), window.is_full()) == ([], False)
