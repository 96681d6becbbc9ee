"""What came over a route, counted where every call passes: a few additions, and no lock."""

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Traffic:
    """The answers of one route by status, and how long they took; the last bucket is for whatever took longer."""

    __slots__ = ("buckets", "method", "route", "seconds", "service", "statuses")

    def __init__(self, service: str, method: str, route: str) -> None:
        self.service, self.method, self.route = service, method, route
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0

    def record(self, status: int, seconds: float) -> None:
        """One more answer; status 0 when the client left before there was one."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds
