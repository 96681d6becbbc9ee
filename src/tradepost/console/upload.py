"""Sending a file to an import, and reading its report."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from tradepost.console.instance import Instance, InstanceError

SILENCE_S: Final = 600.0  # between two pieces of a report

_line: Final = msgspec.json.Decoder(dict[str, Any])


async def send_file(
    session: aiohttp.ClientSession,
    instance: Instance,
    path: str,
    content_type: str,
    content: bytes | AsyncIterable[bytes],
    query: Mapping[str, str] | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """The lines of the report, the last one of which holds `summary`. Errors: InstanceError when the file is refused,
    or its import stops on the way."""
    headers = {**instance.authorization(), "Content-Type": content_type}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    url = f"{instance.url}{path}"
    is_whole = False
    try:
        async with session.post(url, params=query, data=content, headers=headers, timeout=timeout) as response:
            if response.status >= 300:
                raise InstanceError(f"POST {path}: {_refusal(response.status, await response.read())}")
            async for raw in _lines(response.content):
                line = _line.decode(raw)
                is_whole = "summary" in line
                yield _unless_failed(path, line)
    except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
        raise InstanceError(f"POST {path}: {error or type(error).__name__}") from error
    if not is_whole:
        raise InstanceError(f"POST {path}: the report broke off before its summary; send the file again")


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _unless_failed(path: str, line: dict[str, Any]) -> dict[str, Any]:
    failure = line.get("failure")
    if failure is not None:
        raise InstanceError(f"POST {path}: stopped after {failure.get('rows', 0)} rows: {failure.get('detail')}")
    return line


def _refusal(status: int, content: bytes) -> str:
    try:
        problem = _line.decode(content)
    except msgspec.DecodeError:
        return str(status)
    return f"{status} {problem.get('error', '')} {problem.get('detail', '')}".strip()
