"""How often a caller may call, and how many calls may be under way at once."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from tradepost.kernel.errors import TooMany, Unavailable
from tradepost.kernel.http.endpoint import Rate

CALLERS_LIMIT: Final = 100_000  # the one that was heard of longest ago is forgotten first
CALLS_LIMIT: Final = 500  # under way, as at one instance: about a second of the work that there can be
UPLOADS_LIMIT: Final = 100  # under way for as long as their clients take, so not among the calls
STREAMS_LIMIT: Final = 1_000
STREAMS_EACH: Final = 20  # of one caller, so that none has all of them
RETRY_AFTER_S: Final = 1
ROUNDING_S: Final = 1e-9

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Policy:
    """`per_s` calls a second in the long run, and `burst` at once."""

    name: str
    per_s: int
    burst: int

    @property
    def header(self) -> tuple[bytes, bytes]:
        """`RateLimit-Policy`: the burst is what may come within the time that it takes to fill up again."""
        return b"ratelimit-policy", f'"{self.name}";q={self.burst};w={ceil(self.burst / self.per_s)}'.encode()


POLICIES: Final[Mapping[Rate, Policy]] = {
    Rate.DEFAULT: Policy("default", 50, 200),
    Rate.CHECKOUT: Policy("checkout", 50, 200),
    Rate.SIGN_IN: Policy("sign_in", 20, 40),
}


class Share(NamedTuple):
    """What is left of a caller's allowance; `reset_s` until all of it is there again, or when refused, one call."""

    granted: bool
    remaining: int
    reset_s: int


class Limiter:
    """A token bucket for each caller, kept as the one number that says when it will be full again."""

    def __init__(self, policy: Policy, callers_limit: int = CALLERS_LIMIT) -> None:
        self._interval_s = 1 / policy.per_s
        self._depth_s = policy.burst / policy.per_s
        self._policy_header = policy.header
        self._name = policy.name.encode()
        self._callers_limit = callers_limit
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str, now: float) -> Share:
        """One call of `caller` at `now`, in seconds."""
        full_at = max(self._full_at.get(caller, now), now) + self._interval_s
        spent_s = full_at - now
        if spent_s > self._depth_s + ROUNDING_S:
            return Share(False, 0, ceil(spent_s - self._depth_s))
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._callers_limit:
            self._full_at.popitem(last=False)
        remaining = int((self._depth_s - spent_s + ROUNDING_S) / self._interval_s)
        return Share(True, remaining, ceil(spent_s - ROUNDING_S))

    def headers(self, share: Share) -> Headers:
        """What tells the caller about it (draft-ietf-httpapi-ratelimit-headers)."""
        return [self._policy_header, (b"ratelimit", b'"%b";r=%d;t=%d' % (self._name, share.remaining, share.reset_s))]


def too_many(share: Share) -> TooMany:
    """The refusal of a call that was not granted."""
    seconds = max(share.reset_s, RETRY_AFTER_S)
    return TooMany(f"Too many requests: try again in {seconds} s.", retry_after_s=seconds)


class Gate:
    """Lets so many calls in at once, each for as long as its `with` block takes."""

    __slots__ = ("_limit", "inside")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.inside = 0

    def __enter__(self) -> None:
        """One more. Errors: Unavailable `overloaded` when there are too many."""
        if self.inside >= self._limit:
            raise Unavailable("Too many requests are under way.", code="overloaded", retry_after_s=RETRY_AFTER_S)
        self.inside += 1

    def __exit__(self, *_error: object) -> None:
        """One less."""
        self.inside -= 1


class Shares:
    """Lets each caller have so many at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """One more of this caller's. Errors: TooMany."""
        if self._inside[caller] >= self._limit:
            raise TooMany(f"You have {self._limit} of these open: close one first.", retry_after_s=RETRY_AFTER_S)
        self._inside[caller] += 1
        try:
            yield
        finally:
            self._inside[caller] -= 1
            if not self._inside[caller]:
                del self._inside[caller]
