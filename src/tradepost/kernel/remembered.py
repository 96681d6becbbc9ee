"""Answers kept in memory, to be given again once somebody has made sure that they still hold."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

LIMIT_BYTES: Final = 16 * 1024 * 1024

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """At most `limit` bytes of values, as their sizes are told. In two halves: when the one that is filled is full, the
    other is forgotten, with what nobody has asked for since it was full."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._half = limit // 2
        self._bytes = 0
        self._young: dict[K, tuple[V, int]] = {}
        self._old: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """What was put there last; None when there is nothing any more."""
        if (found := self._young.get(key)) is not None:
            return found[0]
        if (found := self._old.pop(key, None)) is None:
            return None
        self.put(key, *found)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Instead of what was there. What takes more than half of all that there is room for is not kept."""
        self._old.pop(key, None)
        _, before = self._young.pop(key, (None, 0))
        self._bytes -= before
        if size > self._half:
            return
        if self._bytes + size > self._half:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key] = value, size
        self._bytes += size
