"""The forms in which an event may be read: as an older publisher wrote it, and as a newer one will."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tradepost.kernel.events import Fact


def older(value: Any, fact: type[Fact]) -> Any:
    """The data of a `fact` without the fields, at any depth, that the contract does not require."""
    (schema,), components = msgspec.json.schema_components([fact], ref_template="{name}")
    return _required(value, schema, components)


def newer(value: Any) -> Any:
    """The same data with a field more in every object."""
    if isinstance(value, dict):
        return {"added_later": {"at": [1]}, **{name: newer(inner) for name, inner in value.items()}}
    return [newer(inner) for inner in value] if isinstance(value, list) else value


def keeps(old: Any, new: Any) -> bool:
    """Whether `new` says all that `old` says: the same values, and no more than added fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and keeps(inner, new[name]) for name, inner in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(keeps(*pair) for pair in zip(old, new, strict=True))
    return type(old) is type(new) and bool(old == new)


def _required(value: Any, schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _required(value, components[schema["$ref"]], components)
    if isinstance(value, dict):
        return {name: _required(value[name], schema["properties"][name], components) for name in schema["required"]}
    if isinstance(value, list):
        return [_required(inner, schema["items"], components) for inner in value]
    return value
