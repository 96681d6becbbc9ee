"""Behind proxies that are named, a client is known by the address that the first of them saw, and can choose no other;
nobody else is believed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.apart import Double, serving
from tests.gateway.pair import GOOD, Pair, open_pair, open_pair_apart
from tests.gateway.test_opening import opened
from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tests.shop import eventually
from tradepost.gateway import app, limits
from tradepost.gateway.app import Gateway
from tradepost.gateway.nearby import is_from_here
from tradepost.gateway.proxies import ENTRY_LIMIT, HEADER, HOPS_LIMIT, Proxies
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import Seal
from tradepost.kernel.auth import Verifier
from tradepost.kernel.http.app import build
from tradepost.kernel.http.endpoint import Request, get, public
from tradepost.kernel.keys import SigningKey
from tradepost.services.notification import service as notification

NAMED: list[IPv4Network | IPv6Network] = [ip_network(text) for text in ("10.1.0.0/16", "192.0.2.1", "fd00::/64")]
PROXIES = Proxies(NAMED)


def came(peer: str | None, *lists: str) -> dict[str, Any]:
    """A call from `peer` with these lines of X-Forwarded-For."""
    headers = [(b"host", b"shop.test"), *((HEADER, one.encode("latin-1")) for one in lists)]
    return {**scope("GET", "/", {}), "client": peer and (peer, 4711), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "lists", "client"),
    [
        ("10.1.0.5", ["198.51.100.7"], "198.51.100.7"),
        ("10.1.0.5", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.1.0.5", ["203.0.113.9,198.51.100.7,\t10.1.0.6 , fd00::7"], "198.51.100.7"),
        ("10.1.0.5", ["203.0.113.9", "198.51.100.7", "10.1.0.6"], "198.51.100.7"),
        ("10.1.0.5", ["10.1.0.7, 10.1.0.6"], "10.1.0.7"),
        ("10.1.0.5", [], "10.1.0.5"),
        ("10.1.0.5", ["198.51.100.7:5678"], "198.51.100.7"),
        ("10.1.0.5", ["203.0.113.9, 198.51.100.7, 10.1.0.6:80"], "198.51.100.7"),
        ("10.1.0.5", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.1.0.5", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.1.0.5", ["2001:DB8:0::7"], "2001:db8::7"),
        ("10.1.0.5", ["fe80::7%eth0"], "fe80::7"),
        ("10.1.0.5", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.1.0.5", ["198.51.100.7, [::ffff:10.1.0.6]:80"], "198.51.100.7"),
        ("::ffff:10.1.0.5", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.1.0.5", [], "10.1.0.5"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy_of_ours(peer: str, lists: list[str], client: str) -> None:
    assert PROXIES.client_of(came(peer, *lists)) == client


@pytest.mark.parametrize(
    "junk",
    [
        *("", " ", "unknown", "_hidden", "198.51.100", "198.51.100.07", "198.51.100.7:port", "198.51.100.7:123456"),
        *(
            "[2001:db8::7",
            "2001:db8::7]:443",
            "[2001:db8::7]x",
            "[]",
            "[]:1",
            ":1",
            '"198.51.100.7"',
            "198.51.100.7/32",
        ),
        *("\xe4", "%", "%eth0", "1" * 10_000, "fe80::7%" + "x" * ENTRY_LIMIT, "[" * 60),
    ],
)
def test_what_is_no_address_ends_the_list_at_the_last_that_was_believed(junk: str) -> None:
    assert PROXIES.client_of(came("10.1.0.5", f"198.51.100.7, {junk}")) == "10.1.0.5"
    assert PROXIES.client_of(came("10.1.0.5", f"198.51.100.7, {junk}, 10.1.0.6")) == "10.1.0.6"
    assert PROXIES.client_of(came("10.1.0.5", f"{junk}, 198.51.100.7")) == "198.51.100.7"


@pytest.mark.parametrize("peer", ["10.2.0.5", "192.0.2.2", "fd01::1", "::ffff:10.2.0.5", "a.socket", "", None])
def test_who_is_not_named_is_not_believed(peer: str | None) -> None:
    assert PROXIES.client_of(came(peer, "198.51.100.7")) is None


def test_of_a_long_list_so_many_are_looked_at() -> None:
    within = ", ".join(["198.51.100.7", *(f"10.1.0.{n}" for n in range(1, HOPS_LIMIT))])
    beyond = ", ".join(["198.51.100.7", *(f"10.1.0.{n}" for n in range(1, HOPS_LIMIT + 1))])

    assert PROXIES.client_of(came("10.1.0.5", within)) == "198.51.100.7"
    assert PROXIES.client_of(came("10.1.0.5", beyond)) == "10.1.0.1"


def _is_named(address: Any) -> bool:
    return any(address in network for network in NAMED)


clients = st.ip_addresses().filter(lambda a: not _is_named(getattr(a, "ipv4_mapped", None) or a))
hops = st.sampled_from(NAMED).flatmap(lambda network: st.ip_addresses(network=network))
entries = st.one_of(hops.map(str), clients.map(str), st.text(st.characters(max_codepoint=255), max_size=20))
lines = st.lists(st.lists(entries, max_size=30).map(", ".join), max_size=4)
with_ports = st.sampled_from(["{}", "{}:4711"]), st.sampled_from(["{}", "[{}]", "[{}]:4711"])


def passed_on(lists: Sequence[str], caller: str, how: str) -> list[str]:
    """What a proxy makes of the lines that reached it: it appends who called it, in the last line or in one more, or
    puts it in place of all."""
    if how == "overwrites" or not lists:
        return [caller]
    return [*lists, caller] if how == "one more" else [*lists[:-1], f"{lists[-1]}, {caller}"]


@given(
    client=clients,
    proxies=st.lists(hops, min_size=1, max_size=5),
    said=lines,
    first=st.sampled_from(["appends", "one more", "overwrites"]),
    others=st.lists(st.sampled_from(["appends", "one more"]), min_size=4, max_size=4),
    data=st.data(),
)
def test_a_client_cannot_choose_its_address(
    client: Any, proxies: list[Any], said: list[str], first: str, others: list[str], data: st.DataObject
) -> None:
    lists = said
    for caller, how in zip([client, *proxies[:-1]], [first, *others], strict=False):
        shape = data.draw(with_ports[caller.version == 6])
        lists = passed_on(lists, shape.format(caller), how)

    assert PROXIES.client_of(came(str(proxies[-1]), *lists)) == str(getattr(client, "ipv4_mapped", None) or client)


@given(client=clients, said=lines)
def test_nobody_is_believed_who_calls_without_a_proxy(client: Any, said: list[str]) -> None:
    assert PROXIES.client_of(came(str(client), *said)) is None


@given(client=st.sampled_from(["127.0.0.1", "::1"]), proxy=hops, said=lines)
def test_nothing_that_came_through_a_proxy_is_from_this_machine(client: str, proxy: Any, said: list[str]) -> None:
    call = came(str(proxy), *passed_on(said, client, "appends"))
    call["headers"][0] = (b"host", b"localhost")

    assert PROXIES.client_of(call) == client
    assert not is_from_here({**call, "client": (client, 0)})


@pytest.fixture(params=["in_process", "apart"])
async def behind(signing_key: SigningKey, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """A gateway that believes 192.0.2.1, as which the test's own clients connect."""
    if request.param == "in_process":
        yield open_pair(signing_key, proxies=PROXIES)
        return
    async with open_pair_apart(signing_key, proxies=PROXIES) as pair:
        yield pair


@pytest.fixture
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "monotonic", lambda: 0.0)


def through(pair: Pair, address: str) -> Client:
    """Who calls from `address`, by way of the proxy."""
    return Client(pair.gateway, {"x-forwarded-for": address})


def past(pair: Pair, peer: str) -> Client:
    """Who calls from `peer` without a proxy, and says that it is another."""

    async def from_there(scope: Any, receive: Any, send: Any) -> None:
        await pair.gateway({**scope, "client": (peer, 4711)}, receive, send)

    return Client(from_there, {"x-forwarded-for": "198.51.100.7"})


@pytest.mark.usefixtures("_no_time_passes")
@pytest.mark.parametrize(
    ("method", "path", "full"),
    [("GET", "/goods/goods", '"default";r=199;t=1'), ("POST", "/goods/login", '"sign_in";r=39;t=1')],
)
async def test_two_clients_behind_one_proxy_have_budgets_of_their_own(
    behind: Pair, method: str, path: str, full: str
) -> None:
    hers = [(await through(behind, "198.51.100.7").call(method, path, [b""])).status for _ in range(201)]
    his = await through(behind, "203.0.113.9").call(method, path, [b""])

    assert hers[-1] == 429
    assert (his.status, his.headers["ratelimit"]) == (200, full)


@pytest.mark.usefixtures("_no_time_passes")
async def test_who_goes_past_the_proxy_has_one_budget_whoever_he_says_he_is(behind: Pair) -> None:
    stranger = past(behind, "203.0.113.9")
    answers = [await stranger.get("/goods/goods", x_forwarded_for=f"198.51.100.{n}") for n in range(201)]
    hers = await through(behind, "198.51.100.7").get("/goods/goods")

    assert (answers[199].status, answers[200].status) == (200, 429)
    assert hers.headers["ratelimit"] == '"default";r=199;t=1'


async def test_the_service_learns_of_the_client_and_of_nobody_else(behind: Pair) -> None:
    told = [
        await through(behind, "198.51.100.7").get("/goods/goods"),
        await through(behind, "203.0.113.9, [2001:db8::7]:443, 10.1.0.6").get("/goods/goods"),
        await behind.anyone.get("/goods/goods"),
        await past(behind, "203.0.113.9").get("/goods/goods"),
    ]

    assert [one.json["address"] for one in told] == ["198.51.100.7", "2001:db8::7", "192.0.2.1", "203.0.113.9"]


async def test_without_named_proxies_all_of_one_are_one_client(pair: Pair) -> None:
    told = await Client(pair.gateway, {"x-forwarded-for": "198.51.100.7"}).get("/goods/goods")

    assert told.json["address"] == "192.0.2.1"


async def test_each_client_behind_a_proxy_has_its_share_of_the_streams(behind: Pair) -> None:
    stream = f"/goods/goods/{GOOD}/stream"
    inside = lambda: asyncio.sleep(0, behind.gateway.streams.inside)  # noqa: E731
    hers = [asyncio.create_task(through(behind, "198.51.100.7").get(stream)) for _ in range(limits.STREAMS_EACH)]
    await eventually(inside, lambda n: n == limits.STREAMS_EACH)
    one_more = await through(behind, "198.51.100.7").get(stream)
    his = asyncio.create_task(through(behind, "203.0.113.9").get(stream))
    await eventually(inside, lambda n: n == limits.STREAMS_EACH + 1)
    behind.gateway.stop()
    await asyncio.gather(*hers, his)

    assert one_more.error == (429, "rate_limited")


async def tell(request: Request[None, None], desk: None) -> str:
    return request.address


async def test_a_seal_goes_before_what_a_proxy_says() -> None:
    endpoints, seal, nobody = (get("/goods/address", tell, access=public),), Seal("of-this-shop"), Verifier({}, "shop")
    apps: dict[str, Any] = {"goods": build(endpoints, None, None, nobody)}  # type: ignore[arg-type]
    gateway = Gateway(Routes([Table("goods", endpoints)]), apps, nobody, limited=False, seal=seal, proxies=PROXIES)
    call, response = scope("GET", "/goods/address", {"x-forwarded-for": "203.0.113.9"}), Response()
    call["headers"].append(seal.header("198.51.100.7"))
    await gateway(call, receiver([b""], asyncio.Event()), collector(response))

    assert response.json == "198.51.100.7"


@pytest.mark.parametrize("said", ["127.0.0.1", "::1", "junk"])
async def test_the_mailbox_is_shown_to_nobody_behind_a_proxy(said: str, tmp_path: Path) -> None:
    double = Double()
    local = Proxies([ip_network("127.0.0.1")])
    async with serving(double) as url, opened(tmp_path, notification, url, proxies=local) as gateway:

        async def from_the_proxy(scope: Any, receive: Any, send: Any) -> None:
            await gateway.gateway({**scope, "client": ("127.0.0.1", 4711)}, receive, send)

        client = Client(from_the_proxy, {"host": "localhost"})
        seen, hidden = await client.get("/mailbox"), await client.get("/mailbox", x_forwarded_for=said)

    assert (seen.status, hidden.status, len(double.seen)) == (200, 404, 1)
