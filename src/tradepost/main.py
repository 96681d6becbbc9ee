"""Composition root: settings and services become a running process."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import uvloop

from tradepost import process
from tradepost.gateway.checks import DRAIN_S
from tradepost.gateway.identity import Folder, Identity
from tradepost.gateway.jwks import JwkSet
from tradepost.gateway.opening import Opened, open_gateway
from tradepost.gateway.pool import open_session
from tradepost.gateway.proxies import Proxies
from tradepost.gateway.seal import Seal
from tradepost.gateway.server import Server, listen
from tradepost.gateway.upstreams import Upstream, open_upstreams
from tradepost.kernel import runtime
from tradepost.kernel.auth import Verifier
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Broker, Topology
from tradepost.kernel.migrate import migrate
from tradepost.kernel.runtime import Running, Site
from tradepost.kernel.service import Service
from tradepost.kernel.telemetry import set_up_logs
from tradepost.process import Backing
from tradepost.services.inventory import service as inventory
from tradepost.services.notification import service as notification
from tradepost.services.order import service as order
from tradepost.services.payment import service as payment
from tradepost.services.product import service as product
from tradepost.services.shipping import service as shipping
from tradepost.services.user import service as user
from tradepost.services.user.queries.session import ended_sessions, revoked_sessions
from tradepost.settings import Settings, SettingsError

SERVICES: Final[tuple[Service, ...]] = (
    user,
    product,
    inventory,
    order,
    payment,
    shipping,
    notification,
)
ISSUER: Final = "tradepost"  # of access tokens, as the user service signs them
KEYS: Final = "keys"  # their folder in the data folder
ALL: Final = "all"
GATEWAY: Final = "gateway"
RELAY: Final = "relay"


@dataclass(frozen=True)
class Parts:
    """What one process runs."""

    services: tuple[Service, ...]
    gateway: bool
    relay: bool

    @classmethod
    def of(cls, names: Sequence[str], broker: str) -> "Parts":
        """The parts of these names. Errors: SettingsError for one that is not known, or a relay without a broker."""
        known = [service.name for service in SERVICES]
        for name in names:
            if name not in (*known, GATEWAY, RELAY, ALL):
                raise SettingsError(f"{name!r} can't be run; there are {', '.join((*known, GATEWAY, RELAY, ALL))}")
        if RELAY in names and broker == "log":
            raise SettingsError("a relay publishes on a broker: set TRADEPOST_BROKER to rabbitmq or kafka")
        everything = ALL in names
        services = tuple(service for service in SERVICES if everything or service.name in names)
        return cls(services, everything or GATEWAY in names, broker != "log" and (everything or RELAY in names))

    @property
    def is_all(self) -> bool:
        return self.services == SERVICES and self.gateway

    @property
    def databases(self) -> tuple[str, ...]:
        """The services whose databases are this process's own."""
        return tuple(service.name for service in (SERVICES if self.relay else self.services))


def serve(settings: Settings, names: Sequence[str] = (ALL,), *, embedded: bool = True) -> None:
    """The parts of these names in one process, until Ctrl-C or SIGTERM; `embedded` starts a PostgreSQL of its own where
    no other is set. Errors: what `process.told` puts in a line."""
    parts = Parts.of(names, settings.broker.kind)
    set_up_logs()
    process.allow_many_connections()
    for number in process.SIGNALS:
        signal.signal(number, process.interrupt)
    with (
        listen(settings.host, settings.port) as listening,
        process.backing(
            settings, [service.name for service in SERVICES], parts.databases, embedded=embedded
        ) as backing,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, parts, listening, backing))


async def _serve(settings: Settings, parts: Parts, listening: socket.socket, backing: Backing) -> None:
    stop, task = asyncio.Event(), asyncio.current_task()
    site = Site(databases=backing.databases, secret=backing.secret, data=settings.data, settings=settings.of_services)
    with process.signals(stop.set, lambda: task and task.cancel()):
        await _prepare(backing, parts)
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(_broker(settings))
            relays = parts.databases if parts.relay else ()
            running = await stack.enter_async_context(runtime.run(parts.services, site, broker=broker, relays=relays))
            session = await stack.enter_async_context(open_session())
            verifier = await stack.enter_async_context(_verifier(settings, running, session))
            remote: Sequence[Upstream] = ()
            if parts.gateway:
                away = [service for service in SERVICES if service not in parts.services]
                upstreams = open_upstreams(away, settings.urls, session, Seal(backing.secret))
                remote = await stack.enter_async_context(upstreams)
            opened = open_gateway(
                parts.services,
                running,
                verifier,
                limited=settings.rate_limits and parts.gateway,
                remote=remote,
                local=settings.is_local,
                seal=None if parts.gateway else Seal(backing.secret),
                proxies=Proxies(settings.trusted_proxies) if parts.gateway and settings.trusted_proxies else None,
            )
            guard = asyncio.create_task(process.begin_again_without(backing))
            await _answer(settings, parts, running, opened, listening, stop)
            guard.cancel()


async def _prepare(backing: Backing, parts: Parts) -> None:
    """Bring the databases of this process to this version."""
    by_url: dict[str, list[tuple[str, str]]] = {}
    for service in SERVICES:
        if service.name in parts.databases:
            by_url.setdefault(backing.databases[service.name], []).append((service.name, service.package))
    await process.check_databases(by_url, backing.left)
    for url, schemas in by_url.items():
        await migrate(url, schemas, backing.secret)


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[Broker | None]:
    groups = tuple(group for service in SERVICES for group in service.groups)
    broker = open_broker(settings.broker, Topology(tuple(service.name for service in SERVICES), groups))
    try:
        yield broker
    finally:
        if broker is not None:
            await broker.close()


async def _answer(
    settings: Settings, parts: Parts, running: Running, opened: Opened, listening: socket.socket, stop: asyncio.Event
) -> None:
    """Serve until `stop`; what is under way then is finished, and streams of events are ended."""
    server = Server(opened.gateway)
    serving = await server.begin(listening)
    url = process.local_url(settings)
    with process.announced(settings.data, process.Whereabouts(url, os.getpid()), gateway=parts.gateway):
        process.collect_rarely()
        _welcome(url, settings, parts, running)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        opened.stop()
        if not parts.gateway:
            await asyncio.sleep(DRAIN_S)  # until gateways have seen it and send nothing more
        server.end()
        await serving


@asynccontextmanager
async def _verifier(settings: Settings, running: Running, session: aiohttp.ClientSession) -> AsyncIterator[Verifier]:
    """Who checks tokens, kept up to date meanwhile."""

    async def ended() -> set[str]:
        if user.name in running.databases:
            return await revoked_sessions(running.databases[user.name])
        return await ended_sessions((await running.clocks.of(user.name)).pool)

    apart = user.name not in running.desks and user.name in settings.urls
    source = JwkSet(session, settings.urls[user.name]) if apart else Folder(settings.data / KEYS)
    identity = Identity(source, ISSUER, ended)
    await identity.start()
    task = asyncio.create_task(identity.keep_current())
    try:
        yield identity.verifier
    finally:
        task.cancel()


def _welcome(url: str, settings: Settings, parts: Parts, running: Running) -> None:
    if not parts.is_all:
        names = [service.name for service in parts.services]
        names += [name for name, has in ((GATEWAY, parts.gateway), (RELAY, parts.relay)) if has]
        print(f"Tradepost {', '.join(names)} is ready at {url}", flush=True)
        return
    first: tuple[str, str] | None = running.desks[user.name].first_admin
    print(f"Tradepost is ready at {url}")
    print(f"  the API     {url}/docs")
    if settings.notification.mailbox and settings.notification.smtp_url is None:
        print(f"  the mailbox {url}/mailbox")
    if settings.broker.kind != "log":
        print(f"  events by   {settings.broker.kind}")
    if first is not None and settings.user.admin_password is None:
        print(f"  log in as   {first[0]} with the password {first[1]} (shown this once)")
    else:
        print(f"  log in as   {settings.user.admin_email}")
    print("Ctrl-C stops it.", flush=True)
