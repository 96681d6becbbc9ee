"""`tradepost carrier advance`: what the running instance says to it."""

import pytest
from aiohttp import web

from tests.console.shop_double import Double, refused, served
from tradepost.console.carrier import PATH, _advance
from tradepost.console.instance import InstanceError

TIME = "2030-01-01T00:00:00Z"


async def test_the_clock_is_turned_and_its_time_told() -> None:
    double = Double(replies={PATH: lambda _: web.json_response({"carrier_time": TIME})})
    async with served(double):
        assert await _advance(double.instance, 60.0) == TIME
    assert double.calls == [(PATH, None, {"seconds": 60.0})]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (refused(403, "forbidden"), "403"),
        (web.json_response({"detail": "Turn it forward.", "title": "Invalid"}, status=422), "422 Turn it forward."),
        (web.Response(text="<html>", status=502), "502"),
        (web.Response(text="<html>"), "200"),
    ],
)
async def test_an_answer_without_a_time_is_told_in_one_line(answer: web.Response, line: str) -> None:
    async with served(Double(replies={PATH: lambda _: answer})) as double:
        with pytest.raises(InstanceError) as error:
            await _advance(double.instance, 60.0)
    assert str(error.value).startswith(f"POST {PATH}: {line}")


async def test_an_answer_that_does_not_come_is_told() -> None:
    async with served(Double(replies={PATH: lambda _: None})) as double:
        with pytest.raises(InstanceError, match=f"{double.instance.url} does not answer: "):
            await _advance(double.instance, 60.0)
