"""The table of endpoints as an OpenAPI 3.1 document."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Final, get_args, get_origin

import msgspec

from tradepost.kernel.http.call import WAIT_LIMIT_S
from tradepost.kernel.http.endpoint import Access, Answer, Encoded, Endpoint, Idempotency, Page, Streamed, Upload
from tradepost.kernel.http.problem import MEDIA_TYPE
from tradepost.kernel.http.signature import Signature, names_an_id, parameters_of, signature_of
from tradepost.kernel.http.steps import SLASHED

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_EDITS: Final = frozenset({"PUT", "PATCH", "DELETE"})
_PROBLEM: Final[Json] = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "error", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The path of the request."},
        "error": {"type": "string", "description": "A stable code."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body, or `?parameter`."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_HEADERS: Final[Json] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and body have the same effect once, for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N`: wait up to N seconds, at most {WAIT_LIMIT_S}, for the outcome (RFC 7240).",
        "schema": {"type": "string", "examples": ["wait=10"]},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` that the change is based on.",
        "schema": {"type": "string"},
    },
}


def document(endpoints: Sequence[Endpoint], title: str, version: str) -> Json:
    """The document of these endpoints. Errors: WrongTable."""
    rows = [(endpoint, signature_of(endpoint)) for endpoint in endpoints]
    names = _operation_ids(endpoints)
    types = list(dict.fromkeys(kind for _, signature in rows for kind in _schema_types(signature)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, Json] = {}
    for (endpoint, signature), name in zip(rows, names, strict=True):
        operation = _operation(endpoint, signature, name, schema_of)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "parameters": _HEADERS,
            "responses": {"Problem": _content("An error.", MEDIA_TYPE, {"$ref": _REFERENCE.format(name="Problem")})},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(endpoint: Endpoint, signature: Signature, name: str, schema_of: Mapping[Any, Json]) -> Json:
    summary = endpoint.summary or (endpoint.handler.__doc__ or name.replace("_", " ").capitalize()).splitlines()[0]
    operation: Json = {
        "operationId": name,
        "tags": [_service(endpoint)],
        "summary": summary,
        "security": [] if endpoint.access.public else [{"bearer": []}],
        "parameters": [*_path(endpoint), *_query(signature, schema_of), *_headers(endpoint, signature)],
        "responses": {
            **_responses(endpoint, signature, schema_of),
            "default": {"$ref": "#/components/responses/Problem"},
        },
        "x-access": _access(endpoint.access),
        "x-rate": endpoint.rate.value,
    }
    if signature.is_raw:
        operation["requestBody"] = {"required": True, "content": {"*/*": {}}}
    elif signature.body is not NoneType:
        required = NoneType not in get_args(signature.body)
        content = {"application/json": {"schema": schema_of[signature.body]}}
        operation["requestBody"] = {"required": required, "content": content}
    return operation


def _path(endpoint: Endpoint) -> Iterator[Json]:
    for name in parameters_of(endpoint):
        schema = {"type": "string", "format": "uuid"} if names_an_id(name) else {"type": "string", "maxLength": 255}
        described = {"description": "Percent-encoded; a slash in it is `%2F`."} if name == SLASHED else {}
        yield {"name": name, "in": "path", "required": True, **described, "schema": schema}


def _query(signature: Signature, schema_of: Mapping[Any, Json]) -> Iterator[Json]:
    for field in _query_fields(signature):
        schema = dict(schema_of[field.type])
        if field.default is not msgspec.NODEFAULT and field.default is not None:
            schema["default"] = msgspec.to_builtins(field.default)
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}


def _headers(endpoint: Endpoint, signature: Signature) -> Iterator[Json]:
    if endpoint.idempotency is not Idempotency.IGNORED:
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    if endpoint.method == "POST" and not signature.takes_tx:
        yield {"$ref": "#/components/parameters/Prefer"}
    if endpoint.method in _EDITS:
        yield {"$ref": "#/components/parameters/IfMatch"}


def _responses(endpoint: Endpoint, signature: Signature, schema_of: Mapping[Any, Json]) -> Json:
    responses: Json = {}
    for kind in _answers(signature.answer):
        if kind is NoneType:
            responses["204"] = {"description": "Done."}
        elif kind is Streamed:
            responses["200"] = _content("Sent as it is made.", "*/*", {})
        elif kind is Page:
            responses[str(endpoint.status)] = _content("A page.", "text/html", {"type": "string"})
        else:
            responses[str(endpoint.status)] = _content("Done.", "application/json", schema_of[kind])
    return responses


def _content(description: str, media_type: str, schema: Json) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _answers(annotation: Any) -> list[Any]:
    """What is in the answer: `Answer[Order] | None` is `[Order, NoneType]`."""
    if get_origin(annotation) in (Answer, Encoded):
        return _answers(get_args(annotation)[0])
    parts = get_args(annotation)
    if any(part in (NoneType, Streamed) or get_origin(part) is Encoded for part in parts):
        return list(dict.fromkeys(kind for part in parts for kind in _answers(part)))
    return [annotation]


def _schema_types(signature: Signature) -> Iterator[Any]:
    if signature.body not in (NoneType, bytes, Upload):
        yield signature.body
    yield from (field.type for field in _query_fields(signature))
    yield from (kind for kind in _answers(signature.answer) if kind not in (NoneType, Streamed, Page))


def _query_fields(signature: Signature) -> tuple[msgspec.structs.FieldInfo, ...]:
    return () if signature.query is NoneType else msgspec.structs.fields(signature.query)


def _access(access: Access) -> str:
    if access.public:
        return "public"
    granted = f"staff:{access.permission}" if access.permission else ""
    if access.customer:
        return f"customer or {granted}" if granted else "customer"
    return "admin" if access.admin else granted


def _operation_ids(endpoints: Sequence[Endpoint]) -> list[str]:
    """The service and the handler's name; with method and path where one handler serves several endpoints."""
    names = [f"{_service(endpoint)}_{endpoint.handler.__name__}" for endpoint in endpoints]
    times = Counter(names)
    return [name if times[name] == 1 else _slug(endpoint) for endpoint, name in zip(endpoints, names, strict=True)]


def _slug(endpoint: Endpoint) -> str:
    words = [word.strip("{}") for word in endpoint.path.split("/") if word]
    return "_".join([endpoint.method.lower(), *words]).replace("-", "_").replace(".", "_")


def _service(endpoint: Endpoint) -> str:
    return endpoint.served_by or endpoint.path.split("/")[1].split(".")[0] or "gateway"
