"""The gateway's own pages tell how things stand, and list everything that can be called."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests import databases
from tests.gateway.pair import GOODS
from tests.gateway.pair import Desk as GoodsDesk
from tests.kernel.http.driver import Client
from tests.shop import eventually
from tradepost.contracts import FACTS
from tradepost.contracts.user import UserErased
from tradepost.gateway import docs
from tradepost.gateway.opening import Opened, open_gateway
from tradepost.kernel import runtime
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.consumer import Consumer
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.ticks import Rebased
from tradepost.kernel.runtime import Running, Site
from tradepost.kernel.service import Room, Service


async def ignore(_tx: Tx, _events: Sequence[Event[UserErased]]) -> None:
    """Nothing of it concerns us."""


@asynccontextmanager
async def open_desk(_room: Room) -> AsyncIterator[GoodsDesk]:
    yield GoodsDesk("probe")


PROBE = Service(name="probe", package="tests.probe", open=open_desk, endpoints=GOODS)


def site(database_url: str, data: Path) -> Site:
    return Site(databases=dict.fromkeys(("probe", "user"), database_url), secret=databases.SECRET, data=data)


@dataclass
class Shop:
    running: Running
    opened: Opened

    @property
    def anyone(self) -> Client:
        return Client(self.opened.gateway)


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with runtime.run([PROBE], site(database_url, tmp_path)) as running:
        yield Shop(running, open_gateway([PROBE], running, Verifier({}, "tradepost"), limited=True))


async def test_everything_is_healthy_and_ready(shop: Shop) -> None:
    health, ready, live = [await shop.anyone.get(path) for path in ("/health", "/readyz", "/livez")]

    assert (health.status, health.json) == (200, {"status": "healthy", "services": {"probe": "healthy"}})
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    assert (live.status, live.json) == (200, {"status": "alive"})


@asynccontextmanager
async def gossiping(database_url: str, data: Path) -> AsyncIterator[tuple[Shop, Consumer]]:
    """A shop whose only group is there."""
    group = Group("gossip", (on(UserErased, ignore),))
    service = Service(name="probe", package="tests.probe", open=open_desk, endpoints=GOODS, groups=(group,))
    async with runtime.run([service], site(database_url, data)) as running:
        shop = Shop(running, open_gateway([service], running, Verifier({}, "tradepost"), limited=True))
        (consumer,) = await eventually(lambda: asyncio.sleep(0, running.consumers), bool)
        yield shop, consumer


async def test_a_log_that_was_exchanged_takes_no_other_figure_along(database_url: str, tmp_path: Path) -> None:
    async with gossiping(database_url, tmp_path) as (shop, consumer):
        await eventually(lambda: asyncio.sleep(0, consumer.position), bool)
        shop.running.clocks["user"]._rebased = Rebased("exchanged")
        figures = await shop.anyone.get("/metrics")

    assert figures.status == 200
    assert b'tradepost_consumer_stopped{first_slot="0",group="gossip",source="user"}' in figures.body


async def test_a_consumer_that_has_stopped_is_told_with_its_reason(database_url: str, tmp_path: Path) -> None:
    async with gossiping(database_url, tmp_path) as (shop, consumer):
        consumer.stopped = "21 keys parked in a minute"
        health, ready, live = [await shop.anyone.get(path) for path in ("/health", "/readyz", "/livez")]
        figures = (await shop.anyone.get("/metrics")).body.decode()

    assert (health.status, ready.status, live.status) == (503, 503, 200)
    assert health.json == {
        "status": "unhealthy",
        "services": {"probe": "unhealthy"},
        "reasons": {"probe": ["its consumer gossip of user has stopped: 21 keys parked in a minute"]},
    }
    assert 'tradepost_consumer_stopped{first_slot="0",group="gossip",source="user"} 1.0' in figures


async def test_a_database_that_does_not_answer_is_told(shop: Shop) -> None:
    await shop.running.clocks[PROBE.name].pool.close()
    health = await shop.anyone.get("/health")

    assert (health.status, health.json["reasons"]) == (503, {"probe": ["the database does not answer"]})


async def test_a_gateway_that_stops_says_so_while_it_still_answers(shop: Shop) -> None:
    shop.opened.stop()
    health, served = await shop.anyone.get("/health"), await shop.anyone.get("/goods/goods")

    assert (health.status, health.json["reasons"]) == (503, {"probe": ["it is being stopped"]})
    assert served.status == 200


async def test_the_figures_count_calls_by_route_and_status(shop: Shop) -> None:
    for path in ("/goods/goods", "/goods/goods", "/goods/mine"):
        await shop.anyone.get(path)
    answer = await shop.anyone.get("/metrics")
    figures = answer.body.decode()

    assert answer.headers["content-type"].startswith("text/plain")
    assert 'requests_total{method="GET",route="/goods/goods",service="probe",status="200"} 2.0' in figures
    assert 'requests_total{method="GET",route="/goods/mine",service="probe",status="401"} 1.0' in figures
    assert 'seconds_bucket{le="+Inf",method="GET",route="/goods/goods",service="probe"} 2.0' in figures
    assert "process_resident_memory_bytes" in figures
    assert f'tradepost_build_info{{version="{version("tradepost")}"}} 1.0' in figures


async def test_the_document_is_valid_and_has_every_path(shop: Shop) -> None:
    answer = await shop.anyone.get("/openapi.json")

    OpenAPIV31SpecValidator(answer.json).validate()
    assert answer.headers["content-type"] == "application/json"
    assert {"/goods/goods/{good_id}", "/health", "/docs"} <= answer.json["paths"].keys()


async def test_the_events_are_described_for_machines(shop: Shop) -> None:
    answer = await shop.anyone.get("/asyncapi.json")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["asyncapi"] == "3.0.0"
    assert list(answer.json["components"]["messages"]) == [fact.type for fact in FACTS]
    assert '<a href="/asyncapi.json">' in (await shop.anyone.get("/")).body.decode()


async def test_the_page_lists_every_path_and_loads_nothing(shop: Shop) -> None:
    answer = await shop.anyone.get("/docs")
    page = answer.body.decode()

    assert all(f'<code class="path">{endpoint.path}</code>' in page for endpoint in GOODS)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert not any(word in page for word in ("http://", "https://", " src="))


async def test_the_first_page_links_to_what_there_is(shop: Shop) -> None:
    page = (await shop.anyone.get("/")).body.decode()

    assert 'href="/docs"' in page
    assert 'href="/mailbox"' not in page  # nobody serves it here


def test_a_schema_reads_like_json_and_ends_where_it_holds_itself() -> None:
    components = {
        "Tree": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 9},
                "of": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
                "kind": {"enum": ["a", "b"]},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
        }
    }

    assert docs.shape({"$ref": "#/components/schemas/Tree"}, components) == (
        '{\n  "name": string (max length 9),\n  "of"?: [Tree],\n  "kind"?: "a" | "b",\n  "maybe"?: integer | null\n}'
    )
