"""Every call reaches the service that answers for it, and nothing that could be read in two ways reaches any."""

import asyncio

import pytest

from tests.gateway.pair import GOOD, GOODS, Pair
from tests.kernel.http.driver import Response, collector, receiver, scope
from tradepost.gateway.routes import Routes, Table, is_ambiguous
from tradepost.kernel.http.signature import WrongTable


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
    assert (pair.goods.arrived, pair.shelf.arrived) == (0, 0)


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
    ],
)
async def test_a_path_that_can_be_read_in_two_ways_is_refused(pair: Pair, path: str) -> None:
    response = await pair.anyone.get(path)

    assert response.error == (400, "bad_path")
    assert (pair.goods.arrived, pair.shelf.arrived) == (0, 0)


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


def _never() -> asyncio.Event:
    return asyncio.Event()
