"""What is remembered is what was put last, and never more than there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.remembered import Remembered

LIMIT = 20


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 12)))))
def test_it_forgets_but_never_errs_and_keeps_within_its_limit(steps: list[tuple[int, int | None]]) -> None:
    """Steps: a key, and the size of what is put there, or None to ask for it."""
    remembered, last = Remembered[int, tuple[int, int]](LIMIT), dict[int, tuple[int, int]]()
    for number, (key, size) in enumerate(steps):
        if size is None:
            assert remembered.get(key) in (None, last.get(key))
        else:
            last[key] = number, size
            remembered.put(key, last[key], size)
            assert remembered.get(key) == (last[key] if size <= LIMIT // 2 else None)
        kept = [found for found in (remembered.get(key) for key in range(6)) if found is not None]
        assert sum(size for _, size in kept) <= LIMIT


def test_what_is_asked_for_outlives_what_is_not() -> None:
    remembered = Remembered[str, str](LIMIT)
    remembered.put("wanted", "value", 2)
    remembered.put("unwanted", "value", 2)
    for number in range(10):
        remembered.put(f"other {number}", "value", 5)
        assert remembered.get("wanted") == "value"
    assert remembered.get("unwanted") is None
