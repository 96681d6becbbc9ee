"""A server that answers as the real one would, and in ways that the real one can't be asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.patience import PATIENCE_S
from tradepost.console.instance import Instance

Reply = Callable[[int], web.StreamResponse | None]


class Signed(Instance):
    """An instance that lets us in with any token."""

    def _fresh_token(self) -> str:
        return "token"


@dataclass
class Double:
    """Takes down every POST; `replies` by path say what a call, counted from 0, is answered. None drops it. The first
    ones are answered when `gathers` of them are here at once."""

    instance: Instance = field(default_factory=lambda: Signed("", Path(), {}))
    replies: dict[str, Reply] = field(default_factory=dict)
    calls: list[tuple[str, str | None, Any]] = field(default_factory=list)
    pause_s: float = 0.0
    gathers: int = 0
    inside: int = 0
    most_inside: int = 0

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.calls]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        count = self.paths().count(request.path)
        text = await request.text()
        body = await request.json() if request.content_type == "application/json" and text else text
        self.calls.append((request.path, request.headers.get("Idempotency-Key"), body))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await asyncio.sleep(self.pause_s)
        async with asyncio.timeout(PATIENCE_S):
            while self.most_inside < self.gathers:
                await asyncio.sleep(0.01)
        self.inside -= 1
        reply = self.replies[request.path](count)
        if reply is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return reply


def told(code: int, **members: Any) -> web.Response:
    return web.json_response(members, status=code)


def refused(status: int, error: str, retry_after: str | None = None) -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response({"error": error, "status": status}, status=status, headers=headers)


@asynccontextmanager
async def served(double: Double) -> AsyncIterator[Double]:
    app = web.Application()
    app.router.add_post("/{path:.*}", double.answer)
    async with TestServer(app) as server:
        double.instance = Signed(str(server.make_url("")).rstrip("/"), Path(), {})
        yield double
