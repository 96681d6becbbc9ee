"""The gateway's own pages: health, figures, and what there is to call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from tradepost.gateway import account, metrics
from tradepost.gateway.checks import STOPPING
from tradepost.gateway.health import Health
from tradepost.kernel.http.endpoint import Answer, Endpoint, Page, Rate, Request, get, public

JSON: Final = "application/json"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """`policy` is the Content-Security-Policy of `docs` and `welcome`."""

    health: Health
    figures: Callable[[], Awaitable[str]]
    openapi: str
    asyncapi: str
    docs: str
    welcome: str
    policy: str
    account: account.Pages


class HealthView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`healthy` or `unhealthy`, altogether and by service, with the reasons."""

    status: str
    services: dict[str, str]
    reasons: dict[str, list[str]] = {}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One word."""

    status: str


async def read_health(_request: Request[None, None], desk: Desk) -> Answer[HealthView]:
    """How every service does; 503 when one is not healthy."""
    reasons = await desk.health.reasons()
    view = HealthView(
        status=_word(reasons),
        services={name: _word(reasons.get(name)) for name in desk.health.services},
        reasons={name: list(why) for name, why in reasons.items()},
    )
    return Answer(view, status=503 if reasons else 200)


async def read_liveness(_request: Request[None, None], _desk: Desk) -> Status:
    """Whether the process answers at all."""
    return Status(status="alive")


async def read_readiness(_request: Request[None, None], desk: Desk) -> Answer[Status]:
    """Whether calls may be sent here; 503 when not: `stopping` when there is no use in asking again."""
    if await desk.health.is_ready():
        return Answer(Status(status="ready"))
    return Answer(Status(status=STOPPING if desk.health.stopping else "not ready"), status=503)


async def read_metrics(_request: Request[None, None], desk: Desk) -> Page:
    """The figures for Prometheus."""
    return Page(await desk.figures(), metrics.CONTENT_TYPE)


async def read_openapi(_request: Request[None, None], desk: Desk) -> Page:
    """Everything that can be called, as OpenAPI 3.1."""
    return Page(desk.openapi, JSON)


async def read_asyncapi(_request: Request[None, None], desk: Desk) -> Page:
    """Every event that is published, as AsyncAPI 3.0."""
    return Page(desk.asyncapi, JSON)


async def read_docs(_request: Request[None, None], desk: Desk) -> Answer[Page]:
    """Everything that can be called, as a page."""
    return Answer(Page(desk.docs), headers={"Content-Security-Policy": desk.policy})


async def read_welcome(_request: Request[None, None], desk: Desk) -> Answer[Page]:
    """Where to go from here."""
    return Answer(Page(desk.welcome), headers={"Content-Security-Policy": desk.policy})


async def read_reset_password(_request: Request[None, None], desk: Desk) -> Answer[Page]:
    """Where the link in a letter leads who forgot the password."""
    return Answer(Page(desk.account.reset_password), headers=desk.account.headers)


async def read_verify_email(_request: Request[None, None], desk: Desk) -> Answer[Page]:
    """Where the link in a letter leads who is to confirm an address."""
    return Answer(Page(desk.account.verify_email), headers=desk.account.headers)


def _word(reasons: object) -> str:
    return "unhealthy" if reasons else "healthy"


endpoints: Final[tuple[Endpoint, ...]] = (
    get("/", read_welcome, access=public),
    get("/health", read_health, access=public, rate=Rate.FREE),
    get("/livez", read_liveness, access=public, rate=Rate.FREE),
    get("/readyz", read_readiness, access=public, rate=Rate.FREE),
    get("/metrics", read_metrics, access=public, rate=Rate.FREE),
    get("/openapi.json", read_openapi, access=public),
    get("/asyncapi.json", read_asyncapi, access=public),
    get("/docs", read_docs, access=public),
    get("/account/reset-password", read_reset_password, access=public),
    get("/account/verify-email", read_verify_email, access=public),
)
