"""A gateway whose services run elsewhere shows and tells of them as if they ran here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests import databases
from tests.gateway.apart import GOODS, Double, nowhere, open_nothing, serving
from tests.kernel.http.driver import Client
from tests.shop import eventually
from tradepost.gateway.opening import Opened, open_gateway
from tradepost.gateway.pool import open_session
from tradepost.gateway.proxies import Proxies
from tradepost.gateway.seal import Seal
from tradepost.gateway.upstreams import NoInstances, open_upstreams
from tradepost.gateway.wire import Message, Receive, Send
from tradepost.kernel import runtime
from tradepost.kernel.auth import Verifier
from tradepost.kernel.runtime import Site
from tradepost.kernel.service import Service
from tradepost.services.notification import service as notification


@asynccontextmanager
async def opened(
    data: Path, service: Service, *urls: str, local: bool = True, proxies: Proxies | None = None
) -> AsyncIterator[Opened]:
    """A gateway without any service of its own, in front of `service` at `urls`."""
    async with AsyncExitStack() as stack:
        site = Site(databases={}, secret=databases.SECRET, data=data)
        running = await stack.enter_async_context(runtime.run([], site))
        session = await stack.enter_async_context(open_session())
        upstreams = open_upstreams([service], {service.name: urls}, session, Seal(databases.SECRET))
        remote = await stack.enter_async_context(upstreams)
        verifier = Verifier({}, "tradepost")
        yield open_gateway([], running, verifier, limited=False, remote=remote, local=local, proxies=proxies)


async def test_a_service_is_healthy_while_one_of_its_instances_is(tmp_path: Path) -> None:
    double = Double()
    async with serving(double) as url, opened(tmp_path, GOODS, nowhere(), url) as gateway:
        client = Client(gateway.gateway)
        before = await client.get("/health")
        double.readiness = (503, b'{"status":"not ready"}')
        after = await eventually(lambda: client.get("/health"), lambda answer: answer.status == 503)
        called, ready = await client.get("/goods/things/x"), await client.get("/readyz")

    assert (before.status, before.json) == (200, {"status": "healthy", "services": {"goods": "healthy"}})
    assert after.json == {
        "status": "unhealthy",
        "services": {"goods": "unhealthy"},
        "reasons": {"goods": ["none of its 2 instances is ready"]},
    }
    assert (called.status, ready.status) == (200, 200)


async def test_a_gateway_is_not_ready_before_it_has_found_every_service(tmp_path: Path) -> None:
    async with opened(tmp_path, GOODS, nowhere()) as gateway:
        ready, live = [await Client(gateway.gateway).get(path) for path in ("/readyz", "/livez")]

    assert (ready.status, ready.json, live.status) == (503, {"status": "not ready"}, 200)


async def test_one_that_stops_says_so_to_those_that_call_it(tmp_path: Path) -> None:
    async with serving(Double()) as url, opened(tmp_path, GOODS, url) as gateway:
        gateway.stop()
        ready = await Client(gateway.gateway).get("/readyz")

    assert (ready.status, ready.json) == (503, {"status": "stopping"})


async def test_the_pages_list_remote_services_too(tmp_path: Path) -> None:
    async with serving(Double()) as url, opened(tmp_path, GOODS, url) as gateway:
        document, page = [await Client(gateway.gateway).get(path) for path in ("/openapi.json", "/docs")]

    assert {"/goods/things/{name}", "/health"} <= document.json["paths"].keys()
    assert '<code class="path">/goods/imports</code>' in page.body.decode()


async def test_the_figures_tell_of_each_instance(tmp_path: Path) -> None:
    gone = nowhere()
    async with serving(Double()) as url, opened(tmp_path, GOODS, url, gone) as gateway:
        for _ in range(3):
            await Client(gateway.gateway).get("/goods/things/x")
        figures = (await Client(gateway.gateway).get("/metrics")).body.decode().splitlines()

    assert f'tradepost_upstream_requests_total{{instance="{url}",outcome="answered",service="goods"}} 3.0' in figures
    assert f'tradepost_upstream_requests_in_flight{{instance="{url}",kind="call",service="goods"}} 0.0' in figures
    assert f'tradepost_upstream_ejected{{instance="{url}",service="goods"}} 0.0' in figures
    assert f'tradepost_upstream_ejected{{instance="{gone}",service="goods"}} 1.0' in figures
    assert 'tradepost_upstream_retries_total{service="goods"} 0.0' in figures


async def test_a_service_that_is_nowhere_stops_the_start_with_the_variable_to_set(tmp_path: Path) -> None:
    elsewhere = Service(name="elsewhere", package="tests.probe", open=open_nothing)
    with pytest.raises(NoInstances, match=r"TRADEPOST_ELSEWHERE_URLS .*http://host:port"):
        async with opened(tmp_path, elsewhere):
            pass


@pytest.mark.parametrize(
    ("local", "address", "status"), [(True, "127.0.0.1", 200), (True, "192.0.2.1", 404), (False, "127.0.0.1", 404)]
)
async def test_the_mailbox_is_reached_only_where_nobody_else_reaches_the_gateway_and_only_from_here(
    local: bool, address: str, status: int, tmp_path: Path
) -> None:
    double = Double()
    async with serving(double) as url, opened(tmp_path, notification, url, local=local) as gateway:

        async def from_there(scope: Message, receive: Receive, send: Send) -> None:
            await gateway.gateway({**scope, "client": (address, 4711)}, receive, send)

        client = Client(from_there, {"host": "localhost"})
        answer, document = [await client.get(path) for path in ("/mailbox", "/openapi.json")]

    seen = int(status == 200)
    assert (answer.status, len(double.seen), "/mailbox" in document.json["paths"]) == (status, seen, local)
