"""Each kind of refusal has one status, and what is unexpected tells nothing."""

from typing import Any

import asyncpg
import msgspec
import pytest

from tradepost.kernel import errors
from tradepost.kernel.database import CommitUnknown
from tradepost.kernel.errors import FieldError, Invalid, Refusal, TooMany
from tradepost.kernel.http.problem import reply_to, status_of
from tradepost.kernel.http.reply import Reply


class OutOfStock(errors.Conflict):
    code = "insufficient_stock"


def rendered(error: Exception) -> tuple[Reply, Any]:
    reply = reply_to(error, "/order/orders", "r-1")
    assert reply.body is not None
    return reply, msgspec.json.decode(reply.body)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.Malformed, 400),
        (errors.Unauthenticated, 401),
        (errors.PaymentRequired, 402),
        (errors.Forbidden, 403),
        (errors.NotFound, 404),
        (errors.Conflict, 409),
        (errors.Stale, 412),
        (errors.TooLarge, 413),
        (errors.UnsupportedMedia, 415),
        (errors.Invalid, 422),
        (errors.TooMany, 429),
        (errors.UpstreamFailed, 502),
        (errors.Unavailable, 503),
        (errors.UpstreamLate, 504),
        (OutOfStock, 409),
    ],
)
def test_each_kind_has_its_status(kind: type[Refusal], status: int) -> None:
    assert status_of(kind()) == status
    assert rendered(kind())[1]["error"] == kind.code


def test_every_kind_of_refusal_has_a_status_of_its_own() -> None:
    kinds = Refusal.__subclasses__()

    assert len({status_of(kind()) for kind in kinds}) == len(kinds)


def test_a_problem_says_everything_once() -> None:
    error = OutOfStock(
        "Two are left.", errors=[FieldError("/items/0", "sold out")], extra={"order_id": "o-1", "status": 1}
    )
    reply, body = rendered(error)

    assert reply.headers == {"content-type": "application/problem+json"}
    assert body == {
        "type": "/problems/insufficient_stock",
        "title": "Insufficient stock",
        "status": 409,
        "error": "insufficient_stock",
        "order_id": "o-1",
        "detail": "Two are left.",
        "instance": "/order/orders",
        "request_id": "r-1",
        "errors": [{"pointer": "/items/0", "detail": "sold out"}],
    }


def test_a_422_has_an_entry_for_each_field_and_one_for_all_of_the_body_where_none_is_to_blame() -> None:
    named = [FieldError("/sku", "gone"), FieldError("?limit", "low")]

    assert rendered(Invalid("Bad.", errors=named))[1]["errors"] == [
        {"pointer": "/sku", "detail": "gone"},
        {"pointer": "?limit", "detail": "low"},
    ]
    assert rendered(Invalid("Bad."))[1]["errors"] == [{"pointer": "", "detail": "Bad."}]
    assert rendered(Invalid())[1]["errors"] == [{"pointer": "", "detail": "invalid_request"}]
    assert "errors" not in rendered(errors.Conflict("Bad."))[1]


def test_when_to_come_back() -> None:
    assert rendered(TooMany(retry_after_s=7))[0].headers["retry-after"] == "7"
    assert rendered(errors.Unavailable())[0].headers["retry-after"] == "1"
    assert "retry-after" not in rendered(Invalid())[0].headers


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.AdminShutdownError("stopping"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.SerializationError("could not serialize"),
        asyncpg.QueryCanceledError("too slow"),
        asyncpg.InterfaceError("pool is closed"),
        asyncpg.InterfaceError("connection is closed"),
        CommitUnknown("lost"),
        ConnectionResetError(),
        OSError("no route"),
        TimeoutError(),
    ],
)
def test_what_may_be_back_in_a_moment_is_a_503(error: Exception) -> None:
    reply, body = rendered(error)

    assert (reply.status, body["error"], reply.headers["retry-after"]) == (503, "unavailable", "1")
    assert str(error) not in body["detail"] or not str(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2"),
        KeyError("hunter2"),
        asyncpg.InterfaceError("another operation is in progress"),
        asyncpg.DataError("invalid input for query argument: 'closed'"),
        asyncpg.UniqueViolationError("hunter2"),
        asyncpg.UndefinedTableError("hunter2"),
    ],
)
def test_a_bug_is_a_500_that_tells_nothing_but_is_logged(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    reply, body = rendered(error)

    assert body == {
        "type": "/problems/internal_error",
        "title": "Internal error",
        "status": 500,
        "error": "internal_error",
        "detail": "Something is wrong on our side. Try again; if it stays so, tell us the request_id.",
        "instance": "/order/orders",
        "request_id": "r-1",
    }
    assert "retry-after" not in reply.headers
    logged = capsys.readouterr().out
    assert "r-1" in logged
    assert type(error).__name__ in logged
