"""The route table: from a method and a path to the endpoint, and to the service that answers for it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from tradepost.gateway.traffic import Traffic
from tradepost.kernel.http.endpoint import Access, Answer, Endpoint, Idempotency, Rate, Request, Streamed, Upload
from tradepost.kernel.http.signature import check_paths, signature_of
from tradepost.kernel.http.steps import ENCODED, SLASHED, steps_of

UNROUTED: Final = "unrouted"
MAKES_KEY: Final = frozenset({Idempotency.REQUIRED, Idempotency.OWN})

# What two readers of one path could take for different paths: we and a service, or a proxy in front of us.
_AMBIGUOUS: Final = re.compile(rb"//|;|\\|%2f|%5c|%00|/(?:\.|%2e){1,2}(?:/|$)|[^\x21-\x7e]", re.IGNORECASE)
_PARTS: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Table:
    """A service's name and what it answers to."""

    service: str
    endpoints: Sequence[Endpoint]


@dataclass(slots=True, eq=False)
class Route:
    """An endpoint and its service, with what is asked at each call worked out before the first."""

    service: str
    endpoint: Endpoint
    traffic: Traffic
    makes_key: bool
    is_stream: bool  # goes on until somebody leaves
    is_upload: bool  # its body has no limit

    def takes_upload(self, method: str) -> bool:
        """Whether a call by `method` brings one: OPTIONS and HEAD find the same route."""
        return self.is_upload and method == self.endpoint.method

    @classmethod
    def of(cls, service: str, endpoint: Endpoint) -> "Route":
        signature = signature_of(endpoint)
        answer = signature.answer
        is_stream = endpoint.method == "GET" and Streamed in (answer, *get_args(answer))
        traffic = Traffic(service, endpoint.method, endpoint.path)
        makes_key = endpoint.idempotency in MAKES_KEY
        return cls(service, endpoint, traffic, makes_key, is_stream, signature.body is Upload)


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    by_method: dict[str, Route] = field(default_factory=dict)


class Routes:
    """All routes of all services. Errors: WrongTable when two endpoints answer to the same call."""

    def __init__(self, tables: Sequence[Table]) -> None:
        check_paths([endpoint for table in tables for endpoint in table.endpoints])
        self._root = _Node()
        self.unrouted = _unrouted()
        self.all = [Route.of(table.service, endpoint) for table in tables for endpoint in table.endpoints]
        for route in self.all:
            self._add(route)

    def __iter__(self) -> Iterator[Route]:
        return iter((*self.all, self.unrouted))

    def find(self, method: str, path: str, raw_path: bytes) -> Route | None:
        """Where the call goes, which is `unrouted` where that is nowhere; None when the path as sent can be read in two
        ways. A path that is known for other methods only leads to the service of one of them, which answers what is
        due: HEAD, OPTIONS or 405."""
        if is_ambiguous(raw_path):
            return self._find_slashed(method, raw_path)
        return self._find(method, path.split("/")) or self.unrouted

    def _find_slashed(self, method: str, raw_path: bytes) -> Route | None:
        """As `find`, where nothing is wrong but that names that may hold slashes do. What a proxy that decodes them
        would take for steps must lead nowhere else, so none of them is a dot segment."""
        if is_ambiguous(ENCODED.sub(b"-", raw_path)):
            return None
        steps = steps_of(raw_path)
        route = self._find(method, steps)
        if route is None:
            return None
        words = route.endpoint.path.split("/")
        parts = [(word, _PARTS.split(step)) for word, step in zip(words, steps, strict=True)]
        slashed = [(word, names) for word, names in parts if len(names) > 1]
        return route if all(word == f"{{{SLASHED}}}" and _DOTS.isdisjoint(names) for word, names in slashed) else None

    def _find(self, method: str, steps: list[str]) -> Route | None:
        node = _walk(self._root, steps, 1)
        if node is None:
            return None
        return node.by_method.get(method) or next(iter(node.by_method.values()))

    def _add(self, route: Route) -> None:
        node = self._root
        for step in route.endpoint.path.split("/")[1:]:
            if step.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(step, _Node())
        node.by_method[route.endpoint.method] = route


def is_ambiguous(raw_path: bytes) -> bool:
    """Whether the path, as sent, holds what may be read in two ways: encoded slashes, dot segments and the like."""
    return _AMBIGUOUS.search(raw_path) is not None


def _walk(node: _Node, steps: list[str], at: int) -> _Node | None:
    """The node of the last step; a word goes before a parameter."""
    if at == len(steps):
        return node if node.by_method else None
    child = node.children.get(steps[at])
    found = _walk(child, steps, at + 1) if child else None
    if found is None and node.parameter is not None and steps[at]:
        return _walk(node.parameter, steps, at + 1)
    return found


async def _nowhere(request: Request[None, None], desk: object) -> Answer[None]:
    raise NotImplementedError


def _unrouted() -> Route:
    """Stands for all calls that lead nowhere, which are limited and counted as well."""
    endpoint = Endpoint(method="", path=UNROUTED, handler=_nowhere, access=Access(public=True), rate=Rate.DEFAULT)
    return Route(
        "gateway", endpoint, Traffic("gateway", "", UNROUTED), makes_key=False, is_stream=False, is_upload=False
    )
