"""A service believes an address only when a gateway of its own installation has said it."""

import asyncio
from typing import cast

import pytest

from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tradepost.gateway.app import Gateway
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import HEADER, Seal
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Database
from tradepost.kernel.http.app import build
from tradepost.kernel.http.endpoint import Request, get, public

SEAL = Seal("of-this-shop")


async def tell(request: Request[None, None], desk: None) -> str:
    return request.address


ENDPOINTS = (get("/goods/address", tell, access=public),)


def service(seal: Seal | None) -> Gateway:
    verifier = Verifier({}, "tradepost")
    apps = {"goods": build(ENDPOINTS, None, cast(Database, None), verifier)}
    return Gateway(Routes([Table("goods", ENDPOINTS)]), apps, verifier, limited=False, seal=seal)


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::1", "fe80::1%eth0"])
async def test_the_address_that_the_gateway_sealed_is_the_clients(address: str) -> None:
    _, value = SEAL.header(address)

    told = await Client(service(SEAL)).get("/goods/address", x_internal_client=value.decode())

    assert told.json == address


@pytest.mark.parametrize(
    "value",
    [
        "198.51.100.7",
        "198.51.100.7 ",
        "198.51.100.7 " + "0" * 64,
        "198.51.100.8 " + SEAL.header("198.51.100.7")[1].decode().split()[1],
        Seal("of-another-shop").header("198.51.100.7")[1].decode(),
        "",
    ],
)
async def test_a_made_up_address_counts_for_nothing(value: str) -> None:
    told = await Client(service(SEAL)).get("/goods/address", x_internal_client=value)

    assert told.json == "192.0.2.1"


async def test_a_gateway_whose_callers_are_clients_believes_none_of_them() -> None:
    _, value = SEAL.header("198.51.100.7")

    told = await Client(service(None)).get("/goods/address", x_internal_client=value.decode())

    assert told.json == "192.0.2.1"


async def test_of_several_the_sealed_one_counts() -> None:
    scoped = scope("GET", "/goods/address", {})
    scoped["headers"] = [(HEADER, b"203.0.113.9 " + b"0" * 64), SEAL.header("198.51.100.7")]
    response = Response()
    await service(SEAL)(scoped, receiver([b""], asyncio.Event()), collector(response))

    assert response.json == "198.51.100.7"
