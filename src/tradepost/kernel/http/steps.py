"""The steps of a path as it was sent: an encoded slash belongs to the name that it stands in, and parts nothing."""

import re
from typing import Any, Final
from urllib.parse import unquote

from falcon.routing import CompiledRouter

SLASHED: Final = "sku"  # the one parameter that may hold slashes: catalogues have them in their SKUs
ENCODED: Final = re.compile(rb"%2f|%5c", re.IGNORECASE)

_HIDDEN: Final = "\udc2f"  # for a slash while Falcon looks: half a character, which no decoded path holds


def steps_of(raw_path: bytes) -> list[str]:
    """What stands between the slashes, each step decoded once."""
    return [unquote(step) for step in raw_path.decode("latin-1").split("/")]


class Router(CompiledRouter):
    """Falcon's, which goes by decoded paths, made to go by the path as sent where that has an encoded slash."""

    def find(self, uri: str, req: Any = None) -> Any:
        """As Falcon's."""
        raw = req.scope.get("raw_path") if req is not None else None
        if not raw or ENCODED.search(raw) is None:
            return super().find(uri, req)
        found = super().find("/".join(step.replace("/", _HIDDEN) for step in steps_of(raw)), req)
        if found is None:
            return None
        resource, methods, parameters, template = found
        return resource, methods, {name: value.replace(_HIDDEN, "/") for name, value in parameters.items()}, template
