"""A table of endpoints as an ASGI application."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import falcon
import falcon.asgi
import msgspec

from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http import call, idempotency, problem
from tradepost.kernel.http.call import Call
from tradepost.kernel.http.endpoint import Endpoint, Idempotency, Request, Upload
from tradepost.kernel.http.reading import Reader
from tradepost.kernel.http.reply import Reply, render
from tradepost.kernel.http.signature import KEPT, WrongTable, check_paths, parameters_of, signature_of
from tradepost.kernel.http.steps import SLASHED, Router
from tradepost.kernel.http.streaming import Stream, whole

App = falcon.asgi.App[Call, falcon.asgi.Response]
Responder = Callable[..., Awaitable[None]]


def build(endpoints: Sequence[Endpoint], desk: object, db: Database, verifier: Verifier) -> App:
    """The application that answers for `endpoints`, each handler being given `desk`. Errors: WrongTable."""
    check_paths(endpoints)
    is_slashed = any(SLASHED in parameters_of(endpoint) for endpoint in endpoints)
    app = falcon.asgi.App(request_type=Call, router=Router() if is_slashed else None)
    app.add_error_handler(Exception, _answer_unrouted)
    app.add_error_handler(falcon.HTTPError, _answer_unrouted)  # has a handler of Falcon's own otherwise
    by_path: dict[str, dict[str, Responder]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = _Route(endpoint, desk, db, verifier).respond
    for path, responders in by_path.items():
        try:
            app.add_route(path, _resource(responders))
        except ValueError as error:  # parameters of different names at one place
            raise WrongTable(f"{path}: {error}") from error
    return app


def _resource(responders: Mapping[str, Responder]) -> SimpleNamespace:
    """What Falcon calls a resource: an `on_...` for each method."""
    found = {**responders, "HEAD": responders["GET"]} if "GET" in responders else dict(responders)
    found["OPTIONS"] = _options(", ".join(sorted({*found, "OPTIONS"})))
    return SimpleNamespace(**{f"on_{method.lower()}": responder for method, responder in found.items()})


def _options(allow: str) -> Responder:
    async def respond(req: Call, resp: falcon.asgi.Response, **_path: str) -> None:
        identity = call.request_id(req.header), call.traceparent(req.header)
        _send(req, resp, Reply(204, None, {"allow": allow}), *identity)

    return respond


async def _answer_unrouted(
    req: Call,
    resp: falcon.asgi.Response | None,
    error: Exception,
    _params: object,
    ws: falcon.asgi.WebSocket | None = None,
) -> None:
    if ws is not None:
        await ws.close()
    if resp is None:
        return
    request_id, traceparent = call.request_id(req.header), call.traceparent(req.header)
    _send(req, resp, problem.reply_to(error, req.path, request_id), request_id, traceparent)


class _Route:
    """One endpoint, with everything about it that can be known before the first call."""

    def __init__(self, endpoint: Endpoint, desk: object, db: Database, verifier: Verifier) -> None:
        signature = signature_of(endpoint)
        self._endpoint, self._desk, self._db = endpoint, desk, db
        self._reader = Reader(endpoint, signature, verifier)
        self._takes_tx = signature.takes_tx
        self._stores = endpoint.idempotency in KEPT
        self._returns_key = endpoint.idempotency in (Idempotency.REQUIRED, Idempotency.OWN)
        self._waits = endpoint.method == "POST" and not signature.takes_tx
        self._is_upload = signature.body is Upload

    async def respond(self, req: Call, resp: falcon.asgi.Response, **path: str) -> None:
        """Answer, whatever happens."""
        request_id, traceparent = call.request_id(req.header), call.traceparent(req.header)
        request = None
        try:
            request = await self._reader.read(req, path, request_id, traceparent)
            reply = await self._run(request, req)
            if self._is_upload and reply.chunks is not None:
                reply = msgspec.structs.replace(reply, chunks=await whole(reply.chunks))
        except Exception as error:
            reply = problem.reply_to(error, req.path, request_id)
        _send(req, resp, reply, request_id, traceparent, self._headers(request))

    async def _run(self, request: Request[Any, Any], req: Call) -> Reply:
        endpoint = self._endpoint
        if not self._takes_tx:
            return render(await endpoint.handler(request, self._desk), endpoint.status)
        async with self._db.transaction() as tx:
            if self._stores and request.idempotency_key is not None:
                return await self._once(request, request.idempotency_key, req, tx)
            return render(await endpoint.handler(request, self._desk, tx), endpoint.status)

    async def _once(self, request: Request[Any, Any], key: str, req: Call, tx: Tx) -> Reply:
        caller = request.caller_or_none
        scope = idempotency.scope_of(caller.user_id if caller else request.address, req.method, req.path)
        stored = await idempotency.claim(tx, scope, key, request.body_hash)
        if stored is not None:
            return stored
        reply = render(await self._endpoint.handler(request, self._desk, tx), self._endpoint.status)
        idempotency.store(tx, scope, key, request.body_hash, reply)
        return reply

    def _headers(self, request: Request[Any, Any] | None) -> Iterator[tuple[str, str]]:
        if not self._endpoint.access.public:
            yield "cache-control", "no-store"
        if request is None:
            return
        if self._returns_key and request.idempotency_key is not None:
            yield "idempotency-key", request.idempotency_key
        if self._waits and request.wait_s:
            yield "preference-applied", f"wait={request.wait_s:g}"


def _send(
    req: Call,
    resp: falcon.asgi.Response,
    reply: Reply,
    request_id: str,
    traceparent: str,
    headers: Iterator[tuple[str, str]] | None = None,
) -> None:
    resp.status = reply.status
    same_on_all = (("x-request-id", request_id), ("traceparent", traceparent), ("x-content-type-options", "nosniff"))
    resp.set_headers([*same_on_all, *(headers or ()), *reply.headers.items()])
    if reply.chunks is not None:
        stream = Stream(reply.chunks, req.receive)
        resp.stream = cast(AsyncIterator[bytes], stream)  # Falcon needs no more than `__aiter__` and `close`
    elif _is_known(req, reply):
        resp.status = 304
    else:
        resp.data = reply.body


def _is_known(req: Call, reply: Reply) -> bool:
    """Whether the client has this version already, as its `If-None-Match` says."""
    etag = reply.headers.get("etag")
    return etag is not None and req.method in ("GET", "HEAD") and etag in req.header.get("if-none-match", "")
