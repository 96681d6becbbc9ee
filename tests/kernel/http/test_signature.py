"""A table that can't work does not start."""

from typing import Any, cast

import msgspec
import pytest

from tests.kernel.http.shop import PlaceOrder, endpoints
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http.app import build
from tradepost.kernel.http.body import Query
from tradepost.kernel.http.endpoint import (
    Endpoint,
    Idempotency,
    Request,
    Streamed,
    Upload,
    get,
    patch,
    post,
    public,
    put,
)
from tradepost.kernel.http.signature import WrongTable, signature_of


class Lax(msgspec.Struct):
    name: str


class Nested(Query, frozen=True, kw_only=True):
    inner: Lax


async def read(request: Request[None, None], desk: object) -> None: ...
async def write(request: Request[PlaceOrder, None], desk: object, tx: Tx) -> None: ...
async def without_tx(request: Request[PlaceOrder, None], desk: object) -> None: ...
async def upload(request: Request[Upload, None], desk: object, tx: Tx) -> None: ...
async def streamed(request: Request[None, None], desk: object, tx: Tx) -> Streamed: ...  # type: ignore[empty-body]
async def lax(request: Request[Lax, None], desk: object) -> None: ...
async def nested(request: Request[Nested, None], desk: object) -> None: ...
async def a_dict(request: Request[dict[str, int], None], desk: object) -> None: ...
async def a_dict_query(request: Request[None, dict[str, int]], desk: object) -> None: ...
async def bare(request: Request, desk: object) -> None: ...  # type: ignore[type-arg]
async def something_else(request: Request[None, None], desk: object, db: Database) -> None: ...
async def unannotated(request, desk): ...  # type: ignore[no-untyped-def]
async def unresolved(request: "Missing", desk: object) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def own(path: str, handler: Any) -> Endpoint:
    return post(path, handler, access=public, idempotency=Idempotency.OWN)


WRONG = [
    pytest.param([get("/a", read, access=public), get("/a", read, access=public)], "the same as", id="twice"),
    pytest.param(
        [get("/a/{x_id}", read, access=public), get("/a/{y_id}", read, access=public)],
        "the same as",
        id="but for a name",
    ),
    pytest.param(
        [get("/a/{x_id}", read, access=public), get("/a/{y_id}/b", read, access=public)], "y_id", id="names that clash"
    ),
    pytest.param([get("a", read, access=public)], "its path", id="a relative path"),
    pytest.param([get("/a/", read, access=public)], "its path", id="a slash at the end"),
    pytest.param([get("/a/{}", read, access=public)], "its path", id="a parameter without a name"),
    pytest.param([get("/a/{Id}", read, access=public)], "its path", id="a parameter in upper case"),
    pytest.param([get("/a/{b", read, access=public)], "its path", id="half a parameter"),
    pytest.param([get("/a/{x_id}/{x_id}", read, access=public)], "its path", id="the same parameter twice"),
    pytest.param([get("/a?b=c", read, access=public)], "its path", id="a query in the path"),
    pytest.param([post("/a", without_tx, access=public)], "takes a `tx`", id="stored without tx"),
    pytest.param(
        [post("/a", without_tx, access=public, idempotency=Idempotency.REQUIRED)],
        "takes a `tx`",
        id="required likewise",
    ),
    pytest.param([post("/a", upload, access=public)], "a stream", id="a stored upload"),
    pytest.param([post("/a", streamed, access=public)], "a stream", id="a stored stream"),
    pytest.param([get("/a", write, access=public)], "it has a body", id="a read with a body"),
    pytest.param([patch("/a", lax, access=public)], "refuse unknown fields", id="unknown fields pass"),
    pytest.param([patch("/a", nested, access=public)], "Lax does not refuse", id="unknown fields pass within"),
    pytest.param([own("/a", a_dict)], "its body is not", id="a dict as body"),
    pytest.param([get("/a", a_dict_query, access=public)], "its query is not", id="a dict as query"),
    pytest.param([own("/a", bare)], "not annotated", id="Request without types"),
    pytest.param([own("/a", unannotated)], "not annotated", id="no annotations"),
    pytest.param([own("/a", unresolved)], "can't be read", id="an unknown annotation"),
    pytest.param([put("/a", something_else, access=public)], "something other", id="a third parameter"),
    pytest.param(
        [Endpoint(method="FETCH", path="/a", handler=read, access=public)], "FETCH is not one of", id="no such method"
    ),
]


def built(table: list[Endpoint]) -> object:
    return build(table, None, cast(Database, None), cast(Verifier, None))


@pytest.mark.parametrize(("table", "message"), WRONG)
def test_a_wrong_table(table: list[Endpoint], message: str) -> None:
    with pytest.raises(WrongTable, match=message):
        built(table)


def test_a_right_table() -> None:
    assert built(list(endpoints))


def test_what_a_signature_says() -> None:
    signature = signature_of(post("/a", write, access=public))

    assert (signature.body, signature.query, signature.answer, signature.takes_tx) == (
        PlaceOrder,
        type(None),
        type(None),
        True,
    )
