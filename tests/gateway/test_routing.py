"""Every call reaches the service that answers for it, and nothing that could be read in two ways reaches any."""

import asyncio
import re
from typing import Any, Final
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.pair import GOOD, GOODS, SHELF, Pair
from tests.kernel.http.driver import Response, collector, receiver, scope
from tradepost.gateway.routes import Routes, Table, is_ambiguous
from tradepost.kernel.http.signature import WrongTable
from tradepost.kernel.http.steps import Router

ROUTES: Final = Routes([Table("goods", GOODS), Table("shelf", SHELF)])
SKUS: Final = [
    "1/2-INCH",
    "A\\B",
    "/",
    "//",
    "a//b/",
    "/a",
    "50%2F",
    "a%252Fb/c",
    "\u00e9/\u00df",
    "a/threshold",
    "a;b/c d",
]
PIECES: Final = [*"/.\\;%a", "%2F", "%2f", "%5C", "%2e", "%25", "%252F", "..", "shelf", "stock", "/threshold", "2F"]


@pytest.mark.parametrize(
    ("method", "path", "by"),
    [
        ("GET", "/goods/goods", "goods"),
        ("GET", "/goods/goods/newest", "goods"),
        ("GET", f"/goods/goods/{GOOD}", "goods"),
        ("PUT", f"/goods/goods/{GOOD}/stock", "shelf"),
        ("GET", "/shelf/newest", "shelf"),
        ("GET", "/.well-known/jwks.json", "shelf"),
        ("GET", "/shelf/two words", "shelf"),
    ],
)
async def test_a_call_reaches_the_service_whose_table_has_it(pair: Pair, method: str, path: str, by: str) -> None:
    scoped = {**scope(method, path, {}), "raw_path": path.replace(" ", "%20").encode()}
    response = Response()
    await pair.gateway(scoped, receiver([b""], _never()), collector(response))

    assert (response.status, response.json["by"]) == (200, by)


@pytest.mark.parametrize("path", ["/", "/goods", "/goods/goods/", "/goods/nothing", "/shelf/a/b", "/goods/goods/x/y"])
async def test_a_path_that_nobody_has_is_not_found_and_reaches_nobody(pair: Pair, path: str) -> None:
    response = await pair.anyone.get(path)

    assert response.error == (404, "no_such_path")
    assert response.headers["x-request-id"] == response.json["request_id"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", response.headers["traceparent"])
    assert (pair.goods.arrived, pair.shelf.arrived) == (0, 0)


async def test_a_refusal_belongs_to_the_trace_of_the_call(pair: Pair) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    response = await pair.anyone.get("/nowhere", traceparent=trace)

    assert (response.status, response.headers["traceparent"]) == (404, trace)


@pytest.mark.parametrize(
    "path",
    [
        "/shelf//a",
        "//shelf/a",
        "/shelf/a%2fb",
        "/shelf/a%2Fb",
        "/shelf/a%5Cb",
        "/shelf/a\\b",
        "/shelf/a%00",
        "/shelf/../goods",
        "/shelf/..",
        "/shelf/.%2E",
        "/shelf/%2e%2e/x",
        "/shelf/./a",
        "/shelf/a;b=1",
        "/shelf/é",
        "/shelf%2Fstock/a",
        "/shelf/stock%2Fa",
        "/shelf/stock/a%2Fb/thresh%2Fold",
        "/shelf/a%2Fb/stock/c%2Fd",
        "/shelf/stock/a//b",
        "/shelf/stock/a\\b",
        "/shelf/stock/a%2Fb;c",
        "/shelf/stock/a%2Fb%00",
        "/shelf/stock/a%2F..",
        "/shelf/stock/..%2F..%2Fgoods",
        "/shelf/stock/%2e%2E%5c%2e./goods",
        "/shelf/stock/a%2F.%2Fb/threshold",
    ],
)
async def test_a_path_that_can_be_read_in_two_ways_is_refused(pair: Pair, path: str) -> None:
    response = await pair.anyone.get(path)

    assert response.error == (400, "bad_path")
    assert (pair.goods.arrived, pair.shelf.arrived) == (0, 0)


@pytest.mark.parametrize("sku", SKUS)
async def test_a_sku_may_hold_slashes(pair: Pair, sku: str) -> None:
    read = await as_sent(pair, "GET", f"/shelf/stock/{quote(sku, safe='')}")
    changed = await as_sent(pair, "PUT", f"/shelf/stock/{quote(sku, safe='').lower()}/threshold")

    assert [(answer.status, answer.json["path"]) for answer in (read, changed)] == [
        (200, {"sku": sku}),
        (200, {"sku": unquote(quote(sku, safe="").lower())}),
    ]


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
    | st.lists(st.sampled_from(["a", "%2F", "/", "\\", ".", ".."]), min_size=1, max_size=6).map("".join)
)
def test_every_sku_without_a_dot_segment_can_be_named(sku: str) -> None:
    raw = f"/shelf/stock/{quote(sku, safe='')}"
    found = ROUTES.find("GET", unquote(raw), raw.encode())

    if {".", ".."}.isdisjoint(re.split(r"[/\\]", sku)):
        assert found is not None
        assert found.endpoint.path == "/shelf/stock/{sku}"
        assert parameters("GET", raw) == {"sku": sku}
    else:
        assert found is None


@given(
    st.sampled_from(["/", "/shelf/", "/shelf/stock/"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8),
    st.sampled_from(["GET", "PUT"]),
)
def test_whatever_is_sent_gateway_and_service_read_the_same_steps(start: str, pieces: list[str], method: str) -> None:
    """And as many of them as there are slashes as sent: none is made by decoding, and none leads back."""
    raw = start + "".join(pieces)
    found = ROUTES.find(method, unquote(raw), raw.encode())
    if found is None or found is ROUTES.unrouted:
        return
    words, steps = found.endpoint.path.split("/"), [unquote(step) for step in raw.split("/")]

    assert len(words) == len(steps)
    assert all(word == step or word.startswith("{") for word, step in zip(words, steps, strict=True))
    assert all(word == "{sku}" for word, step in zip(words, steps, strict=True) if "/" in step or "\\" in step)
    assert {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(raw)))
    if found.endpoint.path.startswith("/shelf/stock/") and found.endpoint.method == method:
        assert parameters(method, raw) == {"sku": steps[3]}


@pytest.mark.parametrize("path", ["/shelf/a..b", "/shelf/.hidden", "/shelf/50%25", "/shelf/a%3Bb", "/shelf/a+b,c@d"])
async def test_dots_and_signs_within_a_name_are_fine(path: str) -> None:
    assert not is_ambiguous(path.encode())


async def test_a_method_that_the_path_does_not_have_is_answered_by_its_service(pair: Pair) -> None:
    refused = await pair.anyone.call("DELETE", f"/goods/goods/{GOOD}/stock", [b""])
    asked = await pair.anyone.call("OPTIONS", "/goods/goods", [b""])
    peeked = await pair.anyone.call("HEAD", "/goods/goods", [b""])

    assert (refused.error, refused.headers["allow"]) == ((405, "method_not_allowed"), "OPTIONS, PUT")
    assert (asked.status, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (peeked.status, peeked.body) == (200, b"")


async def test_what_only_the_gateway_may_say_is_dropped(pair: Pair) -> None:
    sent = {
        "x-user-id": "root",
        "x-internal-role": "admin",
        "connection": "close",
        "te": "trailers",
        "upgrade": "h2c",
        "x-mine": "1",
    }
    response = await pair.anyone.call("GET", "/goods/goods", [b""], sent)

    said_by_the_gateway = {"host", "traceparent", "x-request-id"}  # to a service apart
    assert set(response.json["headers"]) - said_by_the_gateway == {"x-mine"}


async def test_two_services_with_the_same_endpoint_do_not_start() -> None:
    with pytest.raises(WrongTable):
        Routes([Table("goods", GOODS), Table("copy", GOODS[:1])])


async def as_sent(pair: Pair, method: str, raw: str) -> Response:
    """A call as the server makes one of what it reads: the path decoded, and as it was."""
    scoped = {**scope(method, unquote(raw), {}), "raw_path": raw.encode()}
    response = Response()
    await pair.gateway(scoped, receiver([b""], _never()), collector(response))
    return response


def parameters(method: str, raw: str) -> Any:
    """What the service that answers reads out of a path."""
    router = Router()
    for path in {endpoint.path for endpoint in SHELF}:
        router.add_route(path, Resource())
    found = router.find(unquote(raw), Sent(raw))
    assert found is not None
    return found[2]


class Resource:
    def on_get(self) -> None:
        raise AssertionError("nobody calls")


class Sent:
    """All that the router asks of a request."""

    def __init__(self, raw: str) -> None:
        self.scope = {"raw_path": raw.encode()}


def _never() -> asyncio.Event:
    return asyncio.Event()
