"""Calls an ASGI application as a server would, and hands back what came over the wire."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        return self.status, self.json["error"]

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.json.get("errors", [])]


@dataclass
class Client:
    """`leave` in a call's `sent` makes the client go away at that point."""

    app: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    async def post(self, path: str, body: Any = b"", **headers: str) -> Response:
        """`body` is sent as it is when it is bytes, and as JSON otherwise; `if_match="1"` is the header `if-match`."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.call("POST", path, [raw], {"content-type": "application/json", **_names(headers)})

    async def get(self, path: str, **headers: str) -> Response:
        return await self.call("GET", path, [b""], _names(headers))

    async def call(
        self, method: str, path: str, sent: Sequence[bytes | None], headers: Mapping[str, str] | None = None
    ) -> Response:
        """`sent` are the chunks of the body; None is a client that leaves before the next one."""
        gone = asyncio.Event()
        response = Response()
        await self.app(
            scope(method, path, {**self.headers, **(headers or {})}), receiver(sent, gone), collector(response)
        )
        return response


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def scope(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    name, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": name,
        "query_string": query.encode(errors="surrogateescape"),
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers.items()],
        "client": ("192.0.2.1", 4711),
    }


def receiver(sent: Sequence[bytes | None], gone: asyncio.Event) -> Any:
    """The server's side of `receive`: the chunks, and then nothing until `gone`."""
    waiting = list(sent)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await gone.wait()
            return {"type": "http.disconnect"}
        chunk = waiting.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    return receive


def collector(response: Response) -> Any:
    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            response.status = event["status"]
            response.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            response.body += event.get("body", b"")

    return send
