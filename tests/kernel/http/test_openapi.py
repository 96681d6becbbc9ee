"""The document is valid OpenAPI 3.1 and says what the table says."""

from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.kernel.http.shop import endpoints, read_stock
from tradepost.kernel.http.endpoint import get, public
from tradepost.kernel.http.openapi import document


@pytest.fixture
def spec() -> Any:
    return document(endpoints, "Tradepost", "1")


def test_the_document_is_valid(spec: Any) -> None:
    plain = msgspec.json.decode(msgspec.json.encode(spec))

    assert [error.message for error in OpenAPIV31SpecValidator(plain).iter_errors()] == []
    assert plain["openapi"] == "3.1.0"


def test_a_document_that_is_not_valid_is_noticed(spec: Any) -> None:
    del spec["info"]["title"]

    assert list(OpenAPIV31SpecValidator(spec).iter_errors())


def test_every_endpoint_is_there_once_with_a_stable_name(spec: Any) -> None:
    operations = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    }

    assert sorted(operations.values()) == sorted(f"{row.method} {row.path}" for row in endpoints)
    assert operations["order_place_order"] == "POST /order/orders"
    assert operations["post_order_guests"] == "POST /order/guests"  # its handler serves /order/payments too


def test_what_an_operation_says(spec: Any) -> None:
    placed = spec["paths"]["/order/orders"]["post"]

    assert (placed["summary"], placed["tags"], placed["security"]) == ("Place an order.", ["order"], [{"bearer": []}])
    assert (placed["x-access"], placed["x-rate"]) == ("customer", "default")
    assert placed["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PlaceOrder"}}},
    }
    assert placed["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/Placed")
    assert placed["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert [parameter["$ref"].rpartition("/")[2] for parameter in placed["parameters"]] == ["IdempotencyKey", "Prefer"]


def test_what_parameters_say(spec: Any) -> None:
    listed = {one["name"]: one for one in spec["paths"]["/order/orders"]["get"]["parameters"]}
    edited = spec["paths"]["/order/orders/{order_id}"]["patch"]["parameters"]

    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert (listed["limit"]["in"], listed["limit"]["required"]) == ("query", False)
    assert edited[0] == {
        "name": "order_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    assert edited[1] == {"$ref": "#/components/parameters/IfMatch"}


def test_who_may_call(spec: Any) -> None:
    access = {row["operationId"]: row["x-access"] for methods in spec["paths"].values() for row in methods.values()}

    assert access["order_list_orders"] == "customer or staff:orders:read"
    assert access["order_edit_order"] == "staff:orders:write"
    assert access["order_read_stock"] == "public"
    assert spec["paths"]["/order/stock/{sku}"]["get"]["security"] == []


def test_a_path_without_words_has_a_name_too() -> None:
    table = [get("/", read_stock, access=public), get("/.well-known/jwks.json", read_stock, access=public)]

    assert list(document(table, "T", "1")["paths"]) == ["/", "/.well-known/jwks.json"]
