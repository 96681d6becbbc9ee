"""The SKU of a variant that came without one."""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

MAX_SKU: Final = 64  # characters of a SKU made here

_LOST: Final = re.compile(r"[^A-Za-z0-9._ -]")
_SEPARATORS: Final = re.compile(r"[^A-Z0-9._]+")


def default_sku(handle: str, options: Sequence[str] = (), *, distinct: bool = False) -> str:
    """`HANDLE` or `HANDLE-OPTION-...`: ASCII capitals, the same for the same variant for ever.

    Where that would lose characters, by the limit of 64 or because they are not ASCII, it ends in eight digits of a
    hash. `distinct` asks for them in any case: for the caller who finds the SKU taken, as `a-b` and `a` with option `b`
    make the same.
    """
    parts = (handle, *options)
    folded = unicodedata.normalize("NFKD", "-".join(parts)).encode("ascii", "ignore").decode().upper()
    plain = _SEPARATORS.sub("-", folded).strip("-")
    if plain and len(plain) <= MAX_SKU and not distinct and not any(map(_LOST.search, parts)):
        return plain
    mark = blake2b("\x1f".join(parts).encode(), digest_size=4).hexdigest().upper()
    return f"{plain[: MAX_SKU - len(mark) - 1].rstrip('-')}-{mark}".lstrip("-")
