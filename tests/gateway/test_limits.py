"""Callers have an allowance each; it is told on every answer, comes back with time, and nobody uses another's."""

import asyncio
from collections import Counter

import pytest

from tests.gateway.pair import Pair, open_pair
from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tradepost.gateway import app
from tradepost.gateway.limits import Limiter, Policy, Share
from tradepost.kernel.http.network import network_of
from tradepost.kernel.keys import SigningKey

POLICY = Policy("default", per_s=50, burst=200)


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the calls take, nobody's allowance comes back meanwhile."""
    monkeypatch.setattr(app, "monotonic", lambda: 0.0)


def test_a_burst_is_granted_at_once_and_then_so_many_a_second() -> None:
    limiter = Limiter(POLICY)

    at_once = [limiter.take("alice", 0.0).granted for _ in range(201)]
    a_second_later = [limiter.take("alice", 1.0).granted for _ in range(51)]

    assert (Counter(at_once), at_once[-1]) == ({True: 200, False: 1}, False)
    assert (Counter(a_second_later), a_second_later[-1]) == ({True: 50, False: 1}, False)


def test_a_refusal_costs_nothing() -> None:
    limiter = Limiter(Policy("small", per_s=1, burst=1))
    limiter.take("alice", 0.0)
    for _ in range(100):
        limiter.take("alice", 0.5)

    assert limiter.take("alice", 1.0) == Share(True, 0, 1)


def test_what_is_left_and_when_it_is_whole_again() -> None:
    limiter = Limiter(POLICY)
    shares = [limiter.take("alice", 0.0) for _ in range(201)]

    assert (shares[0], shares[99], shares[199], shares[200]) == (
        Share(True, 199, 1),
        Share(True, 100, 2),
        Share(True, 0, 4),
        Share(False, 0, 1),
    )


def test_the_one_heard_of_longest_ago_is_forgotten_first() -> None:
    limiter = Limiter(Policy("small", per_s=1, burst=2), callers_limit=2)
    for caller in ("alice", "bob", "alice", "carol"):
        limiter.take(caller, 0.0)

    assert not limiter.take("alice", 0.0).granted
    assert limiter.take("bob", 0.0) == Share(True, 1, 1)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a.socket", "a.socket"),
    ],
)
def test_an_ipv6_address_is_counted_by_its_network(address: str, counted: str) -> None:
    assert network_of(address) == counted


async def test_the_allowance_is_told_and_the_call_after_the_last_is_refused(pair: Pair) -> None:
    first = await pair.anyone.get("/goods/goods")
    answers = [await pair.anyone.get("/goods/goods") for _ in range(300)]
    refused = next(answer for answer in answers if answer.status == 429)

    assert first.headers["ratelimit-policy"] == '"default";q=200;w=4'
    assert first.headers["ratelimit"] == '"default";r=199;t=1'
    assert refused.error == (429, "rate_limited")
    assert (refused.headers["retry-after"], refused.headers["ratelimit"]) == ("1", '"default";r=0;t=1')
    assert pair.goods.arrived == 1 + sum(answer.status == 200 for answer in answers)


async def test_everyone_with_a_token_has_an_allowance_of_their_own(pair: Pair) -> None:
    for _ in range(300):
        await pair.as_("alice").get("/goods/mine")

    assert (await pair.as_("alice").get("/goods/mine")).status == 429
    assert (await pair.as_("bob").get("/goods/mine")).headers["ratelimit"] == '"default";r=199;t=1'
    assert (await pair.anyone.get("/goods/goods")).headers["ratelimit"] == '"default";r=199;t=1'


async def test_a_token_that_is_no_good_counts_for_its_address(pair: Pair) -> None:
    await Client(pair.gateway, {"authorization": "Bearer made.up.one"}).get("/goods/goods")

    assert (await pair.anyone.get("/goods/goods")).headers["ratelimit"] == '"default";r=198;t=1'


async def test_orders_and_other_calls_have_separate_allowances(pair: Pair) -> None:
    await pair.anyone.get("/goods/goods")

    assert (await pair.anyone.post("/goods/orders")).headers["ratelimit"] == '"checkout";r=199;t=1'


async def test_sign_in_is_counted_by_address_whatever_the_token(pair: Pair) -> None:
    statuses = Counter([(await pair.as_(f"u-{n}").post("/goods/login")).status for n in range(60)])
    elsewhere = Response()
    scoped = {**scope("POST", "/goods/login", {}), "client": ("198.51.100.9", 1)}
    await pair.gateway(scoped, receiver([b""], asyncio.Event()), collector(elsewhere))

    assert (statuses[200] >= 40, statuses[429] > 0) == (True, True)
    assert elsewhere.headers["ratelimit"] == '"sign_in";r=39;t=1'


async def test_what_is_free_is_not_counted(pair: Pair) -> None:
    answers = [await pair.anyone.get("/goods/live") for _ in range(300)]

    assert {answer.status for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


async def test_paths_that_lead_nowhere_are_counted_too(pair: Pair) -> None:
    statuses = Counter([(await pair.anyone.get("/nowhere")).status for _ in range(300)])

    assert statuses[429] > 0


async def test_limits_can_be_turned_off(signing_key: SigningKey) -> None:
    unlimited = open_pair(signing_key, limited=False)
    answers = [await unlimited.anyone.get("/goods/goods") for _ in range(300)]

    assert {answer.status for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers
