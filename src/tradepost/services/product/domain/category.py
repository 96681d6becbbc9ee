"""Categories: a tree of names."""

import re
from typing import Final

from tradepost.kernel.errors import Conflict, FieldError, Invalid, NotFound

SEPARATOR: Final = " > "  # between the names of a path
MAX_DEPTH: Final = 20  # levels

_SEPARATORS: Final = re.compile(r"\s*>\s*")


class NoSuchCategory(NotFound):
    """No category of this id."""

    code = "category_not_found"


class CategoryUnknown(Invalid):
    """A field names a category that does not exist."""

    code = "category_unknown"

    def __init__(self, pointer: str) -> None:
        detail = "There is no category of this id."
        super().__init__(detail, errors=[FieldError(pointer, detail)])


class CategoryNameTaken(Conflict):
    """A category beside it has the same name."""

    code = "category_name_taken"


class CategoryNotEmpty(Conflict):
    """Products or other categories are in it."""

    code = "category_not_empty"


class CategoryCycle(Conflict):
    """A category can't come to lie within itself."""

    code = "category_cycle"


class CategoryTooDeep(Conflict):
    """The tree would have more than `MAX_DEPTH` levels."""

    code = "category_too_deep"


def path_of(text: str) -> tuple[str, ...]:
    """`Home > Kitchen > Mugs`, as a product file has it, from the root down; what is too deep is cut off."""
    return tuple(name for name in _SEPARATORS.split(text.strip()) if name)[:MAX_DEPTH]
