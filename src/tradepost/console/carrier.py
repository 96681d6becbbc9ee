"""`tradepost carrier advance`."""

import asyncio
from typing import Final

import aiohttp
import msgspec
from cyclopts import App

from tradepost import settings
from tradepost.console.instance import Instance, InstanceError, find_instance
from tradepost.console.trouble import failing

EXAMPLES: Final = """Examples:
  tradepost carrier advance 3600

`tradepost carrier COMMAND --help` says more."""
ADVANCE_EXAMPLES: Final = """Ends with 2 when nothing was turned.

Examples:
  tradepost carrier advance 60
  TRADEPOST_DATA=/srv/shop tradepost carrier advance 86400"""
TIMEOUT_S: Final = 30.0
PATH: Final = "/shipping/carrier/advance"
OK: Final = 200


class _Answer(msgspec.Struct, frozen=True):
    """The time, or a problem."""

    carrier_time: str | None = None
    detail: str = ""
    title: str = ""


_answer: Final = msgspec.json.Decoder(_Answer)
carrier: Final = App(
    name="carrier",
    help="The local carrier, whose parcels move by a clock.",
    help_format="plaintext",
    help_epilogue=EXAMPLES,
)


@carrier.command(help_epilogue=ADVANCE_EXAMPLES)
def advance(seconds: float) -> None:
    """Turn the carrier's clock forward, so that parcels that are due by then move at once.

    Parameters
    ----------
    seconds
        How far.
    """
    with failing():
        print(f"the carrier's time is {asyncio.run(_advance(find_instance(settings.read()), seconds))}")


async def _advance(instance: Instance, seconds: float) -> str:
    """The carrier's time. Errors: InstanceError."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    url, body = f"{instance.url}{PATH}", {"seconds": seconds}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=instance.authorization()) as http,
            http.post(url, json=body) as answer,
        ):
            return _told(answer.status, await answer.read())
    except (aiohttp.ClientError, OSError) as error:
        raise InstanceError(f"{instance.url} does not answer: {str(error) or type(error).__name__}") from error


def _told(status: int, content: bytes) -> str:
    try:
        answer = _answer.decode(content)
    except msgspec.DecodeError:
        answer = _Answer()
    if status != OK or answer.carrier_time is None:
        raise InstanceError(f"POST {PATH}: {status} {answer.detail or answer.title}".strip())
    return answer.carrier_time
