"""What bodies, query strings and lists are made of: constrained types, and structs that refuse unknown fields."""

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import FieldError, Invalid

T = TypeVar("T")

PAGE_LIMIT: Final = 100  # items
PAGE_DEFAULT: Final = 20  # items
LARGEST_INTEGER: Final = 2**53 - 1  # the largest that every JSON reader keeps exactly
UUID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

# Lengths beside patterns: `$` alone would let a trailing newline through.
Id = Annotated[str, Meta(pattern=UUID_PATTERN, min_length=36, max_length=36)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]  # units in one line
Units = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # units in stock
Amount = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]  # minor units
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", min_length=3, max_length=3)]  # ISO 4217
CountryCode = Annotated[str, Meta(pattern="^[A-Z]{2}$", min_length=2, max_length=2)]  # ISO 3166-1 alpha-2
ShortText = Annotated[str, Meta(pattern=r"\S", min_length=1, max_length=200)]  # characters, not all of them blank
Text = Annotated[str, Meta(max_length=5000)]  # characters
Cursor = Annotated[str, Meta(min_length=1, max_length=255)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that a client sends. Subclasses say `frozen=True, kw_only=True` again; the rest they inherit."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a query string. A field that is a list takes every occurrence of its parameter."""


class Nothing(Query, frozen=True, kw_only=True):
    """No field at all: what an endpoint without a body or a query accepts."""


class Address(Body, frozen=True, kw_only=True):
    """A postal address, in requests and in answers."""

    name: ShortText
    line1: ShortText
    line2: Annotated[str, Meta(max_length=200)] | None = None
    city: ShortText
    region: Annotated[str, Meta(max_length=200)] | None = None
    postal_code: Annotated[str, Meta(min_length=1, max_length=20)]
    country: CountryCode
    phone: Annotated[str, Meta(max_length=40)] | None = None


class ListQuery(Query, frozen=True, kw_only=True):
    """The page of a list. The cursors are ids; a list under another key declares them again as `Cursor | None`."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = PAGE_DEFAULT
    starting_after: Id | None = None
    ending_before: Id | None = None

    def __post_init__(self) -> None:
        if self.starting_after is not None and self.ending_before is not None:
            refused = FieldError("?ending_before", "Send starting_after or ending_before, not both.")
            raise Invalid("A page has one cursor.", errors=[refused])


class ListOf(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    data: Sequence[T]
    has_more: bool


def page(rows: Sequence[T], limit: int, *, backwards: bool = False) -> ListOf[T]:
    """The page out of `limit + 1` rows as read: the row too many only tells that there is more. `backwards` for
    `ending_before`, whose rows are read in the opposite order."""
    kept = rows[:limit]
    return ListOf(kept[::-1] if backwards else kept, len(rows) > limit)
