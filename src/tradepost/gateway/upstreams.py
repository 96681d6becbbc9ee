"""The services that run in other processes: for each an ASGI application that hands calls to its instances."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from tradepost.gateway.budget import Budget
from tradepost.gateway.checks import Check
from tradepost.gateway.exchange import Exchange, Failed, NotConnected
from tradepost.gateway.forwarding import Body, ClientLeft, Forwarded
from tradepost.gateway.instances import RETRY_AFTER_S, Instance, Instances
from tradepost.gateway.refusing import refuse
from tradepost.gateway.seal import Seal
from tradepost.gateway.wire import Message, Receive, Send
from tradepost.kernel.errors import Refusal, Unavailable
from tradepost.kernel.service import Service
from tradepost.kernel.tasks import end

REPEATS_LIMIT: Final = 2  # of one call, after it was sent

logger = structlog.get_logger()


class NoInstances(ValueError):
    """A service neither runs here nor is said to run elsewhere; the message names the variable that would say it."""


class Upstream:
    """One remote service. A call goes to the least busy instance; what could not be sent goes to the next one, and what
    was sent and not answered too, if a second time changes nothing and the budget allows it."""

    def __init__(self, service: Service, urls: Sequence[str], session: aiohttp.ClientSession, seal: Seal) -> None:
        self.service = service
        self.instances = Instances([_origin(url) for url in urls])
        self.repeats = 0
        self.was_ready = False
        self._session, self._seal = session, seal
        self._budget = Budget()

    @property
    def is_ready(self) -> bool:
        """Whether any instance is."""
        ready = self.instances.ready > 0
        self.was_ready |= ready
        return ready

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One call; when its client leaves, so do we."""
        call = Forwarded.of(scope, self._seal)
        body = Body(receive, call.length)
        try:
            if not call.is_upload:
                await body.read()
            await Exchange(call, body, receive, send, self._session).run(self._attempts)
        except ClientLeft:
            return
        except Refusal as refusal:
            await refuse(refusal, call.scope, send)

    async def _attempts(self, exchange: Exchange) -> None:
        """Errors: Unavailable, UpstreamFailed."""
        self._budget.earn()
        unconnected: set[Instance] = set()
        failed: set[Instance] = set()
        for _ in range(len(self.instances.all) + REPEATS_LIMIT):
            instance = self._next(unconnected, failed, is_stream=exchange.call.is_stream)
            try:
                return await exchange.attempt(instance)
            except NotConnected:
                unconnected.add(instance)
            except Failed as error:
                failed.add(instance)
                if len(failed) > REPEATS_LIMIT or not exchange.may_repeat or not self._budget.take():
                    raise error.refusal from error
                self.repeats += 1
        raise self._unavailable()

    def _next(self, unconnected: set[Instance], failed: set[Instance], *, is_stream: bool) -> Instance:
        """Another than so far; one that failed a moment ago when there is no other."""
        found = self.instances.next(unconnected | failed, is_stream=is_stream)
        found = found or self.instances.next(unconnected, is_stream=is_stream)
        if found is None:
            raise self._unavailable()
        return found

    def _unavailable(self) -> Unavailable:
        detail = f"The service {self.service.name} can't be reached: try again in a moment."
        return Unavailable(detail, code="upstream_unavailable", retry_after_s=RETRY_AFTER_S)


@asynccontextmanager
async def open_upstreams(
    services: Sequence[Service], urls: Mapping[str, Sequence[str]], session: aiohttp.ClientSession, seal: Seal
) -> AsyncIterator[tuple[Upstream, ...]]:
    """`services`, none of which runs in this process, at their `urls` by name. Every instance has been asked how it
    does once. Errors: NoInstances."""
    for service in services:
        if not urls.get(service.name):
            raise NoInstances(
                f"the service {service.name} does not run in this process, and TRADEPOST_{service.name.upper()}_URLS "
                "does not say where it does: set it to http://host:port, several with commas between"
            )
    upstreams = tuple(Upstream(service, urls[service.name], session, seal) for service in services)
    checks = [Check(one.service.name, instance, session) for one in upstreams for instance in one.instances.all]
    await asyncio.gather(*(check.look() for check in checks))
    tasks = [asyncio.create_task(check.run()) for check in checks]
    try:
        yield upstreams
    finally:
        await end(tasks)


def _origin(url: str) -> str:
    """Scheme, host and port alone."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
