"""The page of the API, made of the OpenAPI document alone: one file, nothing loaded from anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradepost.gateway.inline import ENVIRONMENT, asset, policy

DEPTH_LIMIT: Final = 6  # schemas within schemas
METHODS: Final = ("get", "post", "put", "patch", "delete")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Pages:
    """The list of endpoints, the page at `/`, and the Content-Security-Policy of both."""

    docs: str
    welcome: str
    policy: str


def render(document: Json, links: Sequence[tuple[str, str]]) -> Pages:
    """`links` are (path, what is there), for the page at `/`."""
    style, script = asset("docs.css"), asset("docs.js")
    shared = {"style": style, "script": script, "title": document["info"]["title"]}
    docs = ENVIRONMENT.from_string(asset("docs.html")).render(
        **shared, version=document["info"]["version"], services=_by_service(document)
    )
    welcome = ENVIRONMENT.from_string(asset("welcome.html")).render(**shared, links=links)
    return Pages(docs, welcome, policy(style, script))


def shape(schema: Json, components: Json, depth: int = 0, within: tuple[str, ...] = ()) -> str:
    """A JSON schema as one reads it: `{"email": string, "name"?: string}`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in within or depth > DEPTH_LIMIT:
            return str(name)
        return shape(components[name], components, depth, (*within, name))
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(shape(one, components, depth, within) for one in schema[several]))
    if "properties" in schema:
        return _object(schema, components, depth, within)
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"[{shape(items, components, depth, within) if isinstance(items, Mapping) else '...'}]"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"{{...: {shape(schema['additionalProperties'], components, depth, within)}}}"
    return _scalar(schema)


def _object(schema: Json, components: Json, depth: int, within: tuple[str, ...]) -> str:
    required = schema.get("required", ())
    lines = [
        f'{"  " * (depth + 1)}"{name}"{"" if name in required else "?"}: {shape(of, components, depth + 1, within)}'
        for name, of in schema["properties"].items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{'  ' * depth}}}" if lines else "{}"


def _scalar(schema: Json) -> str:
    name = str(schema.get("format") or schema.get("type") or "any")
    bounds = {word: schema[key] for key, word in _BOUNDS.items() if key in schema}
    return name + (f" ({', '.join(f'{word} {value}' for word, value in bounds.items())})" if bounds else "")


_BOUNDS: Final = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "min length",
    "maxLength": "max length",
    "default": "default",
}


def _by_service(document: Json) -> dict[str, list[Json]]:
    services: dict[str, list[Json]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = _operation(method, path, operations[method], document["components"])
                services.setdefault(operation["service"], []).append(operation)
    return services


def _operation(method: str, path: str, operation: Json, components: Json) -> Json:
    return {
        "service": operation["tags"][0],
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "access": operation["x-access"],
        "parameters": [_parameter(one, components) for one in operation["parameters"]],
        "body": dict(_contents(operation.get("requestBody", {}), components)),
        "answers": {
            f"{status} {kind}".strip(): text
            for status, answer in operation["responses"].items()
            if status != "default"
            for kind, text in (list(_contents(answer, components)) or [("", "")])
        },
    }


def _parameter(parameter: Json, components: Json) -> Json:
    if "$ref" in parameter:
        parameter = components["parameters"][parameter["$ref"].rpartition("/")[2]]
    return {**parameter, "shape": shape(parameter["schema"], components["schemas"])}


def _contents(holder: Json, components: Json) -> Iterator[tuple[str, str]]:
    for kind, content in holder.get("content", {}).items():
        yield kind, shape(content["schema"], components["schemas"]) if content.get("schema") else ""
