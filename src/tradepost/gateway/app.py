"""The gateway as an ASGI application in front of the services' own: every call passes here, so it is kept lean."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from time import monotonic, perf_counter
from typing import Any, Final

from tradepost.gateway.limits import (
    CALLS_LIMIT,
    POLICIES,
    STREAMS_EACH,
    STREAMS_LIMIT,
    UPLOADS_LIMIT,
    Gate,
    Limiter,
    Shares,
    too_many,
)
from tradepost.gateway.nearby import is_from_here
from tradepost.gateway.proxies import Proxies
from tradepost.gateway.refusing import refuse
from tradepost.gateway.routes import Route, Routes
from tradepost.gateway.seal import Seal
from tradepost.gateway.streams import Stream
from tradepost.gateway.wire import Headers, Message, Receive, Send, end_to_end
from tradepost.kernel.auth import Verifier
from tradepost.kernel.errors import Malformed, NotFound, Refusal, Unauthenticated
from tradepost.kernel.http.endpoint import Rate
from tradepost.kernel.http.network import network_of
from tradepost.kernel.ids import new_id

OURS: Final = (b"x-user-", b"x-internal-")  # who asks is said by the token alone
BEARER: Final = b"bearer "
KEY: Final = b"idempotency-key"


class Gateway:
    """Dispatches to `apps`, the services' applications by name, which may be `Upstream`s. Without `limited`, callers
    may call as they like. With `seal`, calls come from another gateway, which says under it who its client is; with
    `proxies`, from these, too."""

    def __init__(
        self,
        routes: Routes,
        apps: Mapping[str, Any],
        verifier: Verifier,
        *,
        limited: bool = True,
        seal: Seal | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._routes, self._apps, self._verifier, self._seal = routes, apps, verifier, seal
        self._proxies = proxies
        self._limiters = {rate: Limiter(policy) for rate, policy in POLICIES.items()} if limited else {}
        self._shares = Shares(STREAMS_EACH)
        self._stopping = asyncio.Event()
        self.calls, self.uploads, self.streams = Gate(CALLS_LIMIT), Gate(UPLOADS_LIMIT), Gate(STREAMS_LIMIT)

    def stop(self) -> None:
        """End what would go on for ever; everything else is finished."""
        self._stopping.set()

    def begins_early(self, scope: Message) -> bool:
        """Whether a call is begun before its body is here."""
        route = self._find(scope)
        return route is not None and route.takes_upload(scope["method"])

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One call, answered whatever happens."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        if self._seal is not None or self._proxies is not None:
            scope = self._from_client(scope)
        started = perf_counter()
        added: Headers = []
        status = 0

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _joined(message["headers"], added)
            return send(message)

        found = self._find(scope)
        route = found or self._routes.unrouted
        try:
            with self._gate(route, scope["method"]):  # first of all: a refusal must be cheap
                if found is None:
                    raise Malformed("The path has an encoded slash, a dot segment or the like.", code="bad_path")
                await self._pass_on(route, scope, receive, answer, added)
        except Refusal as refusal:
            await refuse(refusal, scope, answer)
        finally:
            route.traffic.record(status, perf_counter() - started)

    def _from_client(self, scope: Message) -> Message:
        """The call as the first of those saw it whom we believe: gateways of ours, and else proxies."""
        address = None if self._seal is None else self._seal.address_in(scope["headers"])
        if address is None and self._proxies is not None:
            address = self._proxies.client_of(scope)
        return scope if address is None else {**scope, "client": (address, 0)}

    def _find(self, scope: Message) -> Route | None:
        path: str = scope["path"]
        return self._routes.find(scope["method"], path, scope.get("raw_path") or path.encode())

    def _gate(self, route: Route, method: str) -> Gate:
        if route.is_stream:
            return self.streams
        return self.uploads if route.takes_upload(method) else self.calls

    async def _pass_on(self, route: Route, scope: Message, receive: Receive, send: Send, added: Headers) -> None:
        """Errors: NotFound, TooMany, Unavailable, none of them after the answer has begun."""
        headers = _cleaned(scope["headers"])
        self._limit(route, headers, scope, added)
        if route is self._routes.unrouted or (route.endpoint.local and not is_from_here(scope)):
            raise NotFound("There is nothing at this path; /docs lists what there is.", code="no_such_path")
        if route.makes_key and scope["method"] == "POST" and not any(name == KEY for name, _ in headers):
            made = (KEY, new_id().encode())
            headers.append(made)
            added.append(made)
        app, passed = self._apps[route.service], {**scope, "headers": headers, "route": route}
        if not route.is_stream:
            await app(passed, receive, send)
            return
        with self._shares.one(self._caller(route.endpoint.rate, headers, scope)) if self._limiters else nullcontext():
            stream = Stream(receive, send, self._stopping, self._session(headers))
            await app(passed, stream.receive, stream.send)

    def _limit(self, route: Route, headers: Headers, scope: Message, added: Headers) -> None:
        rate = route.endpoint.rate
        limiter = self._limiters.get(rate)
        if limiter is None:
            return
        share = limiter.take(self._caller(rate, headers, scope), monotonic())
        added += limiter.headers(share)
        if not share.granted:
            raise too_many(share)

    def _caller(self, rate: Rate, headers: Headers, scope: Message) -> str:
        """The token's subject, or the address of who has no good token or is about to get one."""
        token = None if rate is Rate.SIGN_IN else _bearer(headers)
        if token is not None:
            try:
                return self._verifier.verify(token).user_id
            except Unauthenticated:
                pass
        client = scope.get("client")
        return network_of(client[0]) if client else ""

    def _session(self, headers: Headers) -> Callable[[], bool]:
        """Tells from now on whether the caller's session has ended; who has no good token has none."""
        token = _bearer(headers)
        try:
            return self._verifier.watch(token) if token is not None else _never
        except Unauthenticated:
            return _never


def _bearer(headers: Headers) -> str | None:
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == BEARER:
            return value[7:].decode("latin-1").strip(" ")
    return None


def _never() -> bool:
    return False


def _cleaned(headers: Headers) -> Headers:
    """Without what is between the client and us only, and without what only we may say."""
    return [pair for pair in end_to_end(headers) if not pair[0].startswith(OURS)]


def _joined(headers: Headers, added: Headers) -> Headers:
    """The service's headers and ours, of which the service may have set the key already."""
    present = {name for name, _ in headers}
    return [*headers, *(pair for pair in added if pair[0] not in present)]
