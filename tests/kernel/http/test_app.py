"""What every answer has in common, and how a call finds its handler."""

from typing import Any

import pytest

from tests.kernel.http.driver import scope
from tests.kernel.http.shop import ALICE, ORDER, Shop

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LINES = {"items": [{"product_id": ORDER, "quantity": 2}]}


def last(shop: Shop) -> Any:
    return shop.desk.requests[-1]


async def test_a_handler_is_given_the_decoded_request(shop: Shop) -> None:
    response = await shop.alice.post("/order/orders", LINES, x_request_id="r-1", traceparent=TRACE)

    assert (response.status, response.json) == (201, {"order_id": ORDER, "units": 2})
    assert response.headers["content-type"] == "application/json"
    request = last(shop)
    assert (request.caller.user_id, request.request_id, request.traceparent) == (ALICE, "r-1", TRACE)
    assert (request.address, request.content_type, len(request.body_hash)) == ("192.0.2.1", "application/json", 32)
    assert (request.headers["x-request-id"], request.headers.get("nothing")) == ("r-1", None)
    assert request.cause.correlation_id == "r-1"


async def test_a_list_is_a_page(shop: Shop) -> None:
    response = await shop.alice.get(f"/order/orders?limit=2&tag=a&tag=b&status=paid&low=true&ending_before={ORDER}")

    assert response.json == {"data": [{"order_id": ORDER, "units": n} for n in range(2)], "has_more": True}
    query = last(shop).query
    assert (query.limit, query.tag, query.status, query.low) == (2, ["a", "b"], "paid", True)


async def test_a_field_that_is_not_sent_differs_from_null(shop: Shop) -> None:
    response = await shop.staff.call("PATCH", f"/order/orders/{ORDER}", [b'{"note": null, "price": 5}'])

    assert (response.status, response.body) == (204, b"")
    body = last(shop).body
    assert (body.price, body.note, repr(body.currency)) == (5, None, "UNSET")


@pytest.mark.parametrize("given", ["x" * 129, "a b", "é", "", "a\nb", '<script>"'])
async def test_a_request_id_that_is_not_safe_is_replaced(shop: Shop, given: str) -> None:
    response = await shop.alice.get(f"/order/orders/{ORDER}", x_request_id=given)

    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 36


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        TRACE.replace("00-4", "ff-4"),
        TRACE.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        TRACE + "-x",
    ],
)
async def test_a_trace_that_can_not_be_read_is_started_anew(shop: Shop, given: str) -> None:
    await shop.alice.get(f"/order/orders/{ORDER}", traceparent=given)

    version, trace, span, flags = last(shop).traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert trace not in given


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=10", 10),
        ("respond-async, wait=5", 5),
        ("wait=99", 30),
        ('Wait="7"; x=y', 7),
        ("wait=x", 0),
        ("wait=-1", 0),
        ("await=5", 0),
        ("wait=1.5", 0),
    ],
)
async def test_a_wish_to_wait(shop: Shop, prefer: str, wait_s: int) -> None:
    response = await shop.alice.post("/order/orders", LINES, prefer=prefer)

    assert last(shop).wait_s == wait_s
    assert response.headers.get("preference-applied") == (f"wait={wait_s}" if wait_s else None)


async def test_only_a_page_for_everyone_may_be_kept(shop: Shop) -> None:
    private = await shop.alice.get(f"/order/orders/{ORDER}")
    refused = await shop.anonymous.get(f"/order/orders/{ORDER}")
    public = await shop.anonymous.get("/order/stock/MUG 1")

    assert [r.headers.get("cache-control") for r in (private, refused, public)] == ["no-store", "no-store", None]
    assert {r.headers["x-content-type-options"] for r in (private, refused, public)} == {"nosniff"}
    assert (public.headers["content-type"], public.body) == ("text/html; charset=utf-8", b"<p>MUG 1</p>")


async def test_no_such_path(shop: Shop) -> None:
    response = await shop.anonymous.get("/order/nothing", x_request_id="r-1")

    assert response.error == (404, "no_such_path")
    assert response.json == {
        "type": "/problems/no_such_path",
        "title": "No such path",
        "status": 404,
        "error": "no_such_path",
        "detail": "There is nothing at this path; /docs lists what there is.",
        "instance": "/order/nothing",
        "request_id": "r-1",
    }
    assert response.headers["x-request-id"] == "r-1"


async def test_a_method_that_is_not_there(shop: Shop) -> None:
    response = await shop.alice.call("DELETE", "/order/orders", [b""])

    assert response.error == (405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert response.json["detail"] == "This path has other methods: `Allow` says which."


async def test_a_method_that_nobody_knows(shop: Shop) -> None:
    assert (await shop.alice.call("BREW", "/order/orders", [b""])).error == (400, "malformed_request")


async def test_options_and_head(shop: Shop) -> None:
    options = await shop.anonymous.call("OPTIONS", "/order/orders", [b""])
    head = await shop.alice.call("HEAD", f"/order/orders/{ORDER}", [b""])
    whole = await shop.alice.get(f"/order/orders/{ORDER}")

    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", '"3"')
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))


@pytest.mark.parametrize("authorization", ["Basic eDp5", "Bearer", "Bearer ", "Bearer x.y.z", "x"])
async def test_no_valid_token(shop: Shop, authorization: str) -> None:
    response = await shop.anonymous.get("/order/orders", authorization=authorization)

    assert response.error == (401, "invalid_token")
    assert response.headers["www-authenticate"] == 'Bearer realm="tradepost", error="invalid_token"'
    assert shop.desk.calls == []


async def test_no_token(shop: Shop) -> None:
    response = await shop.anonymous.get("/order/orders")

    assert response.error == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="tradepost"'


async def test_a_public_endpoint_knows_a_caller_and_does_not_mind_a_token_gone_bad(shop: Shop) -> None:
    await shop.alice.get("/order/stock/MUG-1")
    known = last(shop).caller_or_none.user_id
    response = await shop.anonymous.get("/order/stock/MUG-1", authorization="Bearer x.y.z")

    assert (known, response.status, last(shop).caller_or_none) == (ALICE, 200, None)


@pytest.mark.parametrize(
    ("role", "permissions", "status"),
    [
        ("customer", [], 403),
        ("customer", ["orders:write"], 403),
        ("staff", [], 403),
        ("staff", ["orders:read"], 403),
        ("staff", ["orders:write"], 204),
        ("admin", [], 204),
    ],
)
async def test_a_permission(shop: Shop, role: str, permissions: list[str], status: int) -> None:
    response = await shop.as_(role, *permissions).call("DELETE", f"/order/orders/{ORDER}", [b""])

    assert response.status == status
    assert shop.desk.calls == (["cancel_order"] if status == 204 else [])


@pytest.mark.parametrize(
    ("if_match", "status"),
    [("3", 204), ('"3"', 204), ('W/"3"', 204), ("*", 204), ('"2"', 412), ("", 412), ('"33"', 412)],
)
async def test_a_stale_write_is_refused(shop: Shop, if_match: str, status: int) -> None:
    response = await shop.staff.call("PATCH", f"/order/orders/{ORDER}", [b"{}"], {"if-match": if_match})

    assert response.status == status
    assert status == 204 or response.error == (412, "stale_version")


async def test_a_version_that_the_client_has_is_not_sent_again(shop: Shop) -> None:
    known = await shop.alice.get(f"/order/orders/{ORDER}", if_none_match='W/"1", "3"')
    other = await shop.alice.get(f"/order/orders/{ORDER}", if_none_match='"33"')

    assert (known.status, known.body, known.headers["etag"]) == (304, b"", '"3"')
    assert (other.status, other.headers["etag"]) == (200, '"3"')


async def test_a_key_is_made_where_one_is_needed_and_told(shop: Shop) -> None:
    made = await shop.alice.post("/order/orders", LINES)
    given = await shop.alice.post("/order/orders", LINES, idempotency_key='"my-key"')

    assert made.headers["idempotency-key"] == shop.desk.requests[0].idempotency_key
    assert given.headers["idempotency-key"] == shop.desk.requests[1].idempotency_key == "my-key"


async def test_a_header_that_would_end_early_is_a_bug_and_not_a_second_header(shop: Shop) -> None:
    shop.desk.etag = "3\r\nset-cookie: x=1"
    response = await shop.alice.get(f"/order/orders/{ORDER}")

    assert (response.error, "set-cookie" in response.headers) == ((500, "internal_error"), False)


async def test_a_web_socket_is_turned_away(shop: Shop) -> None:
    sent = []
    call = {**scope("GET", "/order/orders", {}), "type": "websocket", "subprotocols": []}

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(event: dict[str, object]) -> None:
        sent.append(event["type"])

    await shop.app(call, receive, send)  # type: ignore[operator]

    assert sent == ["websocket.close"]


async def test_a_signed_body_reaches_its_handler_byte_by_byte(shop: Shop) -> None:
    response = await shop.anonymous.call(
        "POST", "/order/webhooks/stripe", [b"{ ", b"\xff}"], {"idempotency-key": "a b"}
    )

    assert (response.status, last(shop).body, last(shop).path) == (204, b"{ \xff}", {"provider": "stripe"})
    assert last(shop).idempotency_key is None
