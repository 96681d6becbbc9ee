"""Bodies and query strings to structs, strictly; every refusal names the field."""

import re
from collections.abc import Callable, Iterator, Sequence
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from tradepost.kernel.errors import FieldError, Invalid, Malformed, UnsupportedMedia
from tradepost.kernel.http.body import Nothing

T = TypeVar("T")

QUERY_LIMIT: Final = 100  # parameters

_NUL_REFUSED: Final = "NUL characters can't be stored."
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NAMED_FIELD: Final = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_JSON: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json\s*(?:;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)


def body_decoder(of: Any) -> Callable[[bytes], Any]:
    """A decoder of JSON bodies of type `of`. Where `of` admits None, an empty body is None; where it is None, an
    empty object will do. Errors: Malformed, Invalid."""
    accepted = Nothing | None if of is NoneType else of
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(accepted)
    optional = NoneType in get_args(accepted)

    def decode(raw: bytes) -> Any:
        if not raw and optional:
            return None
        decoded = decode_json(decoder, raw)
        return None if of is NoneType else decoded

    return decode


def decode_json(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """`raw` by `decoder`. Errors: Malformed `malformed_json` when it isn't JSON, Invalid when it isn't of the type."""
    if b"\\u0000" in raw and _ESCAPED_NUL.search(raw):
        raise _with_nul(raw)
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Invalid("The body is not of the right form.", errors=[field_error(str(error))]) from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.", code="malformed_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"The body is not JSON in UTF-8: {error}." if raw else "A JSON body is needed."
        raise Malformed(detail, code="malformed_json") from None


def require_json(content_type: str | None, content_encoding: str | None) -> None:
    """Errors: UnsupportedMedia for anything but plain JSON in UTF-8; no type at all passes for it."""
    if content_type and content_type != "application/json" and not _JSON.fullmatch(content_type.strip()):
        raise UnsupportedMedia("Send `Content-Type: application/json`.")
    if content_encoding and content_encoding.lower() != "identity":
        raise UnsupportedMedia("Send the body without a Content-Encoding.")


def query_decoder(of: Any) -> Callable[[bytes], Any]:
    """A decoder of query strings into the struct `of`. Errors: Malformed (`malformed_query`), Invalid."""
    accepted: Any = Nothing if of is NoneType else of
    lists = {field.encode_name for field in msgspec.structs.fields(accepted) if _is_list(field.type)}

    def decode(raw: bytes) -> Any:
        try:
            decoded = msgspec.convert(_parameters(raw, lists) if raw else {}, accepted, strict=False)
        except msgspec.ValidationError as error:
            steps, detail = _explain(str(error))
            raise _invalid_query(steps[0] if steps else "", detail) from None
        return None if of is NoneType else decoded

    return decode


def _parameters(raw: bytes, lists: set[str]) -> dict[str, str | list[str]]:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=QUERY_LIMIT)
    except ValueError:
        detail = f"The query string is not percent-encoded UTF-8, or has over {QUERY_LIMIT} parameters."
        raise Malformed(detail, code="malformed_query") from None
    found: dict[str, str | list[str]] = {name: [] for name, _ in pairs if name in lists}
    for name, value in pairs:
        several = found.get(name)
        if isinstance(several, list):
            several.append(value)
        elif name in found:
            raise _invalid_query(name, "Given twice.")
        else:
            found[name] = value
        if "\0" in value:
            raise _invalid_query(name, _NUL_REFUSED)
    return found


def _invalid_query(name: str, detail: str) -> Invalid:
    return Invalid("The query string is not of the right form.", errors=[FieldError(f"?{name}", detail)])


def field_error(message: str) -> FieldError:
    """msgspec's message, its path made a JSON pointer: ``... - at `$.items[0]` `` is `/items/0`."""
    steps, detail = _explain(message)
    return FieldError(pointer_to(steps), detail)


def _explain(message: str) -> tuple[list[str], str]:
    detail, _, path = message.rpartition(" - at `") if " - at `" in message else (message, "", "")
    steps = [name or index for name, index in _STEP.findall(path.rstrip("`").partition("[...]")[0])]
    if named := _NAMED_FIELD.fullmatch(detail):
        steps.append(named[1])
    return steps, detail


def pointer_to(steps: Sequence[str]) -> str:
    """The JSON pointer that these names and indices make."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _with_nul(raw: bytes) -> Malformed | Invalid:
    try:
        pointers = list(_nul_pointers(msgspec.json.decode(raw), []))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed("The body is not JSON in UTF-8.", code="malformed_json")
    errors = [FieldError(pointer, _NUL_REFUSED) for pointer in pointers]
    return Invalid("A text holds a NUL character.", errors=errors)


def _nul_pointers(value: object, steps: list[str]) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield pointer_to(steps)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nul_pointers(item, [*steps, str(index)])
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _nul_pointers(name, steps)
            yield from _nul_pointers(item, [*steps, name])


def _is_list(of: Any) -> bool:
    return get_origin(of) in (list, tuple)
