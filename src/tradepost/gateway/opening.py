"""The gateway of one process, put together: its routes, its own pages, and the services' applications behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec

from tradepost.contracts import FACTS
from tradepost.gateway import account, api, asyncapi, docs
from tradepost.gateway.app import Gateway
from tradepost.gateway.health import Health
from tradepost.gateway.metrics import Metrics
from tradepost.gateway.proxies import Proxies
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import Seal
from tradepost.gateway.upstreams import Upstream
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Database
from tradepost.kernel.http import openapi
from tradepost.kernel.http.app import build
from tradepost.kernel.http.endpoint import Endpoint
from tradepost.kernel.runtime import Running
from tradepost.kernel.service import Service

NAME: Final = "gateway"
TITLE: Final = "Tradepost"
LINKS: Final = {
    "/docs": "everything that can be called",
    "/mailbox": "the e-mails and SMS that were sent",
    "/health": "how every service does",
    "/metrics": "figures for Prometheus",
    "/openapi.json": "the API for machines",
    "/asyncapi.json": "the events for machines",
}


@dataclass(frozen=True)
class Opened:
    """The application to serve, and how to announce that it will stop."""

    gateway: Gateway
    health: Health

    def stop(self) -> None:
        """Tell who asks for our health, and end the streams of events."""
        self.health.stop()
        self.gateway.stop()


def open_gateway(
    services: Sequence[Service],
    running: Running,
    verifier: Verifier,
    *,
    limited: bool,
    remote: Sequence[Upstream] = (),
    local: bool = True,
    seal: Seal | None = None,
    proxies: Proxies | None = None,
) -> Opened:
    """In front of `services` as they run here and of `remote` ones. Pages for this machine only are there when `local`,
    that is when nobody else can reach us. With `seal` we are a service's own way in, whose callers are gateways that
    say who theirs are; with `proxies`, we believe these. Errors: WrongTable."""
    everywhere = [*services, *(upstream.service for upstream in remote)]
    tables = [*(Table(service.name, _shown(service, local)) for service in everywhere), Table(NAME, api.endpoints)]
    routes, health = Routes(tables), Health(running, services, remote)
    apps: dict[str, Any] = {
        service.name: build(service.endpoints, running.desks[service.name], running.databases[service.name], verifier)
        for service in services
    }
    apps |= {upstream.service.name: upstream for upstream in remote}
    gateway = Gateway(routes, apps, verifier, limited=limited, seal=seal, proxies=proxies)
    desk = _desk(tables, everywhere, health, Metrics(routes, gateway, services, running, remote))
    no_database = cast(Database, None)  # none of the gateway's handlers takes a `tx`
    apps[NAME] = build(api.endpoints, desk, no_database, verifier)
    return Opened(gateway, health)


def _shown(service: Service, local: bool) -> Sequence[Endpoint]:
    return [endpoint for endpoint in service.endpoints if local or not endpoint.local]


def _desk(tables: Sequence[Table], services: Sequence[Service], health: Health, metrics: Metrics) -> api.Desk:
    endpoints = [endpoint for table in tables for endpoint in table.endpoints]
    document: Mapping[str, Any] = openapi.document(endpoints, TITLE, version("tradepost"))
    paths = {endpoint.path for endpoint in endpoints}
    pages = docs.render(document, [(path, what) for path, what in LINKS.items() if path in paths])
    events = asyncapi.document(FACTS, services, TITLE, version("tradepost"))
    return api.Desk(
        health=health,
        figures=metrics.render,
        openapi=msgspec.json.encode(document).decode(),
        asyncapi=msgspec.json.encode(events).decode(),
        docs=pages.docs,
        welcome=pages.welcome,
        policy=pages.policy,
        account=account.render(),
    )
