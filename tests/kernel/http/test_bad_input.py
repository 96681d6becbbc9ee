"""Whatever is sent wrong gets its status, its code and a pointer to the field, and the handler is not called."""

import pytest

from tests.kernel.http.driver import Response
from tests.kernel.http.shop import ORDER, Shop

LINE = f'{{"product_id": "{ORDER}", "quantity": 1}}'
ADDRESS = '"name": "A", "line1": "B", "city": "C", "postal_code": "1"'
FORM = {"content-type": "application/x-www-form-urlencoded"}


def line(quantity: str) -> bytes:
    return f'{{"items": [{{"product_id": "{ORDER}", "quantity": {quantity}}}]}}'.encode()


def order(rest: str) -> bytes:
    return f'{{"items": [{LINE}], {rest}}}'.encode()


BODIES = [
    pytest.param(b"", (400, "malformed_json"), [], id="empty"),
    pytest.param(b"   ", (400, "malformed_json"), [], id="blank"),
    pytest.param(b"{", (400, "malformed_json"), [], id="cut short"),
    pytest.param(order('"note": "x"')[:-1], (400, "malformed_json"), [], id="without its end"),
    pytest.param(b'{"items": []} x', (422, "invalid_request"), ["/items"], id="too short a list"),
    pytest.param(order('"note": "x"') + b"}", (400, "malformed_json"), [], id="something behind it"),
    pytest.param(b"not json", (400, "malformed_json"), [], id="text"),
    pytest.param(order('"note": NaN'), (400, "malformed_json"), [], id="NaN"),
    pytest.param(order('"note": "\xff"').decode().encode("latin-1"), (400, "malformed_json"), [], id="not UTF-8"),
    pytest.param(order('"note": "\\ud800"'), (400, "malformed_json"), [], id="half a surrogate pair"),
    pytest.param(order('"note": "a\x00b"'), (400, "malformed_json"), [], id="a raw NUL"),
    pytest.param(b"\xef\xbb\xbf" + line("1"), (400, "malformed_json"), [], id="a byte order mark"),
    pytest.param(
        b'{"items": ' + b"[" * 200_000, (422, "invalid_request"), ["/items/0"], id="deep, where it is refused"
    ),
    pytest.param(b"null", (422, "invalid_request"), [""], id="null"),
    pytest.param(b"[]", (422, "invalid_request"), [""], id="an array"),
    pytest.param(b'"x"', (422, "invalid_request"), [""], id="a string"),
    pytest.param(b"{}", (422, "invalid_request"), ["/items"], id="a field is missing"),
    pytest.param(b'{"items": null}', (422, "invalid_request"), ["/items"], id="null for a list"),
    pytest.param(b'{"items": [{}]}', (422, "invalid_request"), ["/items/0/product_id"], id="missing in a line"),
    pytest.param(order('"extra": 1'), (422, "invalid_request"), ["/extra"], id="an unknown field"),
    pytest.param(order('"a/b~c": 1'), (422, "invalid_request"), ["/a~1b~0c"], id="one to be escaped"),
    pytest.param(
        f'{{"items": [{LINE[:-1]}, "cost": 1}}]}}'.encode(), (422, "invalid_request"), ["/items/0/cost"], id="in a line"
    ),
    pytest.param(line("2.5"), (422, "invalid_request"), ["/items/0/quantity"], id="a fraction"),
    pytest.param(line("-1"), (422, "invalid_request"), ["/items/0/quantity"], id="negative"),
    pytest.param(line("0"), (422, "invalid_request"), ["/items/0/quantity"], id="zero"),
    pytest.param(line('"1"'), (422, "invalid_request"), ["/items/0/quantity"], id="a number as a string"),
    pytest.param(line("true"), (422, "invalid_request"), ["/items/0/quantity"], id="a boolean"),
    pytest.param(line("null"), (422, "invalid_request"), ["/items/0/quantity"], id="null for a number"),
    pytest.param(line("9" * 30), (422, "invalid_request"), ["/items/0/quantity"], id="over 64 bits"),
    pytest.param(line("9" * 6000), (422, "invalid_request"), ["/items/0/quantity"], id="6,000 digits"),
    pytest.param(line("1e999"), (422, "invalid_request"), ["/items/0/quantity"], id="an infinite number"),
    pytest.param(
        line("1").replace(b"0193", b"0193X"), (422, "invalid_request"), ["/items/0/product_id"], id="not an id"
    ),
    pytest.param(
        line("1").replace(b'0001"', b'0001\\n"'), (422, "invalid_request"), ["/items/0/product_id"], id="id and newline"
    ),
    pytest.param(order('"note": ""'), (422, "invalid_request"), ["/note"], id="an empty text"),
    pytest.param(order('"note": "  "'), (422, "invalid_request"), ["/note"], id="a blank text"),
    pytest.param(order(f'"note": "{"x" * 201}"'), (422, "invalid_request"), ["/note"], id="a text that is too long"),
    pytest.param(order('"note": "a\\u0000b"'), (422, "invalid_request"), ["/note"], id="a NUL"),
    pytest.param(order('"tags": {"a\\u0000": "x"}'), (422, "invalid_request"), ["/tags"], id="a NUL in a name"),
    pytest.param(order('"tags": {"a": ""}'), (422, "invalid_request"), ["/tags"], id="in a map"),
    pytest.param(b'{"a": "\\u0000"', (400, "malformed_json"), [], id="a NUL in what is not JSON"),
    pytest.param(
        order(f'"shipping_address": {{{ADDRESS}, "country": "de"}}'),
        (422, "invalid_request"),
        ["/shipping_address/country"],
        id="a country in lower case",
    ),
    pytest.param(
        order(f'"shipping_address": {{{ADDRESS}}}'), (422, "invalid_request"), ["/shipping_address/country"], id="none"
    ),
    pytest.param(b" " * (1024 * 1024 + 1), (413, "body_too_large"), [], id="over 1 MiB"),
]


def refused(response: Response, shop: Shop) -> tuple[int, str]:
    assert shop.desk.calls == []
    return response.error


@pytest.mark.parametrize(("body", "error", "pointers"), BODIES)
async def test_a_bad_body(shop: Shop, body: bytes, error: tuple[int, str], pointers: list[str]) -> None:
    response = await shop.alice.post("/order/orders", body)

    assert refused(response, shop) == error
    assert response.pointers == pointers


async def test_a_body_that_nests_too_deeply_where_anything_goes(shop: Shop) -> None:
    response = await shop.alice.post("/order/orders", order('"note": "\\u0000", "x": ' + "[" * 200_000))

    assert refused(response, shop) == (400, "malformed_json")


@pytest.mark.parametrize("content_type", [*FORM.values(), "text/plain", "application/jsonp", "multipart/form-data"])
async def test_a_body_of_another_type(shop: Shop, content_type: str) -> None:
    response = await shop.alice.call("POST", "/order/orders", [line("1")], {"content-type": content_type})

    assert refused(response, shop) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_a_compressed_body(shop: Shop, encoding: str) -> None:
    response = await shop.alice.post("/order/orders", line("1"), content_encoding=encoding)

    assert refused(response, shop) == (415, "unsupported_media_type")


async def test_a_charset_other_than_utf_8(shop: Shop) -> None:
    response = await shop.alice.post("/order/orders", line("1"), content_type="application/json; charset=latin1")

    assert refused(response, shop) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json", ""],
)
async def test_every_way_to_say_json_is_read(shop: Shop, content_type: str) -> None:
    response = await shop.alice.post("/order/orders", line("1"), content_type=content_type)

    assert (response.status, shop.desk.calls) == (201, ["place_order"])


async def test_a_backslash_before_u0000_is_text(shop: Shop) -> None:
    response = await shop.alice.post("/order/orders", order('"note": "\\\\u0000"'))

    assert response.status == 201
    assert shop.desk.requests[0].body.note == "\\u0000"


async def test_a_length_over_the_limit_is_refused_before_the_body_is_read(shop: Shop) -> None:
    response = await shop.alice.call("POST", "/order/orders", [b"", None], {"content-length": "1048577"})

    assert refused(response, shop) == (413, "body_too_large")


async def test_chunks_are_counted_when_no_length_is_given(shop: Shop) -> None:
    response = await shop.alice.call("POST", "/order/orders", [b" " * 1024] * 1025)

    assert refused(response, shop) == (413, "body_too_large")


async def test_a_body_in_chunks_is_put_together(shop: Shop) -> None:
    sent = line("3")
    response = await shop.alice.call("POST", "/order/orders", [sent[:5], b"", sent[5:]])

    assert (response.status, response.json["units"]) == (201, 3)


async def test_a_client_that_leaves_within_the_body_has_not_asked(shop: Shop) -> None:
    response = await shop.alice.call("POST", "/order/orders", [line("3"), None])

    assert refused(response, shop) == (400, "incomplete_body")


QUERIES = [
    pytest.param("limit=0", ["?limit"], id="too few"),
    pytest.param("limit=101", ["?limit"], id="too many"),
    pytest.param("limit=x", ["?limit"], id="no number"),
    pytest.param("limit=", ["?limit"], id="nothing"),
    pytest.param("limit=2.5", ["?limit"], id="a fraction"),
    pytest.param("limit=1&limit=2", ["?limit"], id="twice"),
    pytest.param("status=lost", ["?status"], id="no such status"),
    pytest.param("low=maybe", ["?low"], id="no boolean"),
    pytest.param("colour=red", ["?colour"], id="unknown"),
    pytest.param("a/b=1", ["?a/b"], id="unknown, with a slash"),
    pytest.param("starting_after=x", ["?starting_after"], id="no id"),
    pytest.param(f"starting_after={ORDER}&ending_before={ORDER}", ["?ending_before"], id="two cursors"),
    pytest.param("tag=%00", ["?tag"], id="a NUL"),
]


@pytest.mark.parametrize(("query", "pointers"), QUERIES)
async def test_a_bad_query(shop: Shop, query: str, pointers: list[str]) -> None:
    response = await shop.alice.get(f"/order/orders?{query}")

    assert refused(response, shop) == (422, "invalid_request")
    assert response.pointers == pointers


@pytest.mark.parametrize("query", ["tag=%ff", "&".join("tag=x" for _ in range(101)), "tag=\udcff"])
async def test_a_query_that_can_not_be_read(shop: Shop, query: str) -> None:
    assert refused(await shop.alice.get(f"/order/orders?{query}"), shop) == (400, "malformed_query")


async def test_a_query_where_none_is_expected(shop: Shop) -> None:
    response = await shop.alice.get(f"/order/orders/{ORDER}?x=1")

    assert (refused(response, shop), response.pointers) == ((422, "invalid_request"), ["?x"])


async def test_a_body_where_none_is_expected_may_be_an_empty_object(shop: Shop) -> None:
    path = f"/order/orders/{ORDER}/cancel"
    told = await shop.alice.call("PUT", path, [b'{"reason": "x"}'])
    empty = [(await shop.alice.call("PUT", path, [body])).status for body in (b"", b"{}")]

    assert (told.error, told.pointers, empty) == ((422, "invalid_request"), ["/reason"], [204, 204])
    assert shop.desk.calls == ["cancel_order"] * 2


KEYS = ["", " ", "a b", "x" * 256, '"', '""', '"a', "caf\xe9", '"a\\b"', '"a";p=1', "a\tb"]


@pytest.mark.parametrize("key", KEYS)
async def test_a_bad_idempotency_key(shop: Shop, key: str) -> None:
    response = await shop.alice.post("/order/orders", line("1"), idempotency_key=key)

    assert refused(response, shop) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("order_id", ["1", ORDER.upper(), ORDER + "0", "0" * 40, ORDER.replace("-", ""), "x\0", "{}"])
async def test_what_is_not_an_id_is_not_found(shop: Shop, order_id: str) -> None:
    assert refused(await shop.alice.get(f"/order/orders/{order_id}"), shop) == (404, "not_found")


@pytest.mark.parametrize("sku", ["x" * 256, "a\0b"])
async def test_a_name_that_nothing_can_have_is_not_found(shop: Shop, sku: str) -> None:
    assert refused(await shop.anonymous.get(f"/order/stock/{sku}"), shop) == (404, "not_found")


async def test_the_caller_is_judged_before_the_body(shop: Shop) -> None:
    anonymous = await shop.anonymous.post("/order/orders", b"{")
    customer = await shop.alice.call("PATCH", f"/order/orders/{ORDER}", [b"{"])

    assert (anonymous.error, customer.error) == ((401, "unauthenticated"), (403, "forbidden"))
    assert shop.desk.calls == []
