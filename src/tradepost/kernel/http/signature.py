"""What a handler's annotations say, read once at the start; a table that can't work does not start."""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from tradepost.kernel.http.endpoint import Endpoint, Idempotency, Request, Streamed, Upload

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
KEPT: Final = frozenset({Idempotency.STORED, Idempotency.REQUIRED})  # the answer is stored with the effect

_PATH: Final = re.compile(r"/|(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}))+")
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")


class WrongTable(Exception):
    """The table of endpoints contradicts itself or its handlers."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`body` and `query` as in `Request[Body, Query]`, NoneType where there is none; `answer` as returned."""

    body: Any
    query: Any
    answer: Any
    takes_tx: bool

    @property
    def is_raw(self) -> bool:
        """Whether the handler reads the bytes itself."""
        return self.body in (bytes, Upload)


def signature_of(endpoint: Endpoint) -> Signature:
    """Errors: WrongTable when the handler's annotations can't be read, or don't fit the endpoint."""
    handler = endpoint.handler
    try:
        hints = get_type_hints(handler)
        parameters = list(inspect.signature(handler).parameters)
    except (NameError, TypeError, ValueError) as error:
        raise _wrong(endpoint, f"its handler's annotations can't be read: {error}") from error
    request = hints.get(parameters[0]) if parameters else None
    if get_origin(request) is not Request or "return" not in hints:
        raise _wrong(endpoint, "its handler is not annotated `(request: Request[Body, Query], ...) -> Answer`")
    if parameters[2:] not in ([], ["tx"]):
        raise _wrong(endpoint, "its handler takes something other than (request, desk) or (request, desk, tx)")
    body, query = get_args(request)
    signature = Signature(body, query, hints["return"], bool(parameters[2:]))
    for fault in (*_faults(endpoint, signature), *_type_faults(signature)):
        raise _wrong(endpoint, fault)
    return signature


def check_paths(endpoints: Sequence[Endpoint]) -> None:
    """Errors: WrongTable for a malformed path, or two endpoints that answer to the same call."""
    seen: dict[tuple[str, str], Endpoint] = {}
    for endpoint in endpoints:
        names = parameters_of(endpoint)
        if not _PATH.fullmatch(endpoint.path) or len(set(names)) != len(names):
            raise _wrong(endpoint, "its path is not made of /words and /{distinct_parameters}")
        shape = (endpoint.method, _PARAMETER.sub("{}", endpoint.path))
        if shape in seen:
            raise _wrong(endpoint, f"it is the same as {seen[shape].path}")
        seen[shape] = endpoint


def parameters_of(endpoint: Endpoint) -> list[str]:
    """The names of the path's parameters, in order."""
    return _PARAMETER.findall(endpoint.path)


def names_an_id(parameter: str) -> bool:
    """Whether the path parameter of this name is an id, which is a UUID, rather than free text."""
    return parameter == "id" or parameter.endswith("_id")


def _faults(endpoint: Endpoint, signature: Signature) -> Iterator[str]:
    if endpoint.method not in METHODS:
        yield f"{endpoint.method} is not one of {', '.join(sorted(METHODS))}"
    if endpoint.method in ("GET", "DELETE") and signature.body is not NoneType:
        yield "it has a body"
    if endpoint.idempotency in KEPT:
        if endpoint.method != "POST" or not signature.takes_tx:
            yield "its answer can only be stored by a POST whose handler takes a `tx`"
        if signature.body is Upload or Streamed in (signature.answer, *get_args(signature.answer)):
            yield "a stream can't be stored for its Idempotency-Key"


def _type_faults(signature: Signature) -> Iterator[str]:
    if signature.query is not NoneType and not _is_struct(signature.query):
        yield "its query is not a struct"
    kinds = [kind for kind in (signature.query, *_alternatives(signature.body)) if _is_struct(kind)]
    if not signature.is_raw and len(kinds) < len(_alternatives(signature.body)) + _is_struct(signature.query):
        yield "its body is not a struct, bytes or Upload"
    _, components = msgspec.json.schema_components(kinds)
    for name, schema in components.items():
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield f"its {name} does not refuse unknown fields"


def _alternatives(of: Any) -> list[Any]:
    return [kind for kind in get_args(of) or (of,) if kind is not NoneType]


def _is_struct(of: Any) -> bool:
    return isinstance(get_origin(of) or of, type) and issubclass(get_origin(of) or of, msgspec.Struct)


def _wrong(endpoint: Endpoint, fault: str) -> WrongTable:
    return WrongTable(f"{endpoint.method} {endpoint.path}: {fault}.")
