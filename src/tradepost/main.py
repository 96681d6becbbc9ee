"""Composition root: settings and services become a running process."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvloop

from tradepost import process
from tradepost.gateway.identity import Identity
from tradepost.gateway.opening import open_gateway
from tradepost.gateway.server import Server, listen
from tradepost.kernel import runtime
from tradepost.kernel.auth import Verifier
from tradepost.kernel.migrate import migrate
from tradepost.kernel.runtime import Running
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
from tradepost.services.user.queries.session import revoked_sessions
from tradepost.settings import Settings

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


def serve(settings: Settings) -> None:
    """Everything in one process, until Ctrl-C or SIGTERM. Errors: what `process.told` puts in a line."""
    set_up_logs()
    for number in process.SIGNALS:
        signal.signal(number, process.interrupt)
    with (
        listen(settings.host, settings.port) as listening,
        process.database(settings) as backing,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, listening, backing))


async def _serve(settings: Settings, listening: socket.socket, backing: Backing) -> None:
    stop, task = asyncio.Event(), asyncio.current_task()
    with process.signals(stop.set, lambda: task and task.cancel()):
        await process.check_database(backing.url)
        await migrate(backing.url, [(service.name, service.package) for service in SERVICES], backing.secret)
        running = runtime.run(SERVICES, backing.url, backing.secret, settings.of_services, settings.data)
        async with running as services, _verifier(settings, services) as verifier:
            guard = asyncio.create_task(process.begin_again_without(backing))
            await _answer(settings, services, verifier, listening, stop)
            guard.cancel()


async def _answer(
    settings: Settings, running: Running, verifier: Verifier, listening: socket.socket, stop: asyncio.Event
) -> None:
    """Serve until `stop`; what is under way then is finished, and streams are ended."""
    opened = open_gateway(SERVICES, running, verifier, limited=settings.rate_limits)
    server = Server(opened.gateway)
    serving = await server.begin(listening)
    url = process.local_url(settings)
    with process.announced(settings.data, process.Whereabouts(url, os.getpid())):
        gc.freeze()
        _welcome(url, settings, running)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        opened.stop()
        server.end()
        await serving


@asynccontextmanager
async def _verifier(settings: Settings, running: Running) -> AsyncIterator[Verifier]:
    """Who checks tokens, kept up to date meanwhile."""

    async def ended() -> set[str]:
        return await revoked_sessions(running.databases[user.name])

    identity = Identity(settings.data / KEYS, ISSUER, ended)
    await identity.refresh()
    task = asyncio.create_task(identity.keep_current())
    try:
        yield identity.verifier
    finally:
        task.cancel()


def _welcome(url: str, settings: Settings, running: Running) -> None:
    first: tuple[str, str] | None = running.desks[user.name].first_admin
    print(f"Tradepost is ready at {url}")
    print(f"  the API     {url}/docs")
    if settings.notification.mailbox and settings.notification.smtp_url is None:
        print(f"  the mailbox {url}/mailbox")
    if first is not None and settings.user.admin_password is None:
        print(f"  log in as   {first[0]} with the password {first[1]} (shown this once)")
    else:
        print(f"  log in as   {settings.user.admin_email}")
    print("Ctrl-C stops it.", flush=True)
