"""A part of a shop in an operating system's process of its own, for what only a real one shows: being paused.

It says `ready`, and where it is told to pause it says `there` and stops itself, until it is sent SIGCONT.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.brokers.behaviour.pace import hurry, lose_patience
from tests.brokers.behaviour.part import Hooks, Part
from tests.brokers.behaviour.rig import Shop
from tests.brokers.behaviour.things import facts_of, recording
from tests.patience import PATIENCE_S
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log import consumer, reading
from tradepost.kernel.log.batch import Piece, read_piece
from tradepost.kernel.log.subscription import Group, on

ROOT: Final = Path(__file__).parents[3]


class Order(msgspec.Struct):
    """Which shop, and where to pause for the first time: `read` (nothing was done yet), `handling`, `took`,
    `published`, or nowhere."""

    kind: str
    url: str
    name: str
    broker: str
    pauses: str
    relays: bool
    serves: bool


class Apart:
    """The process, seen from the test."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self, line: str) -> None:
        """Wait for a line of its."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert (await self._process.stdout.readline()).decode().strip() == line

    def wake(self) -> None:
        """It goes on where it stopped."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone."""
        self._process.kill()


@asynccontextmanager
async def apart(shop: Shop, *, pauses: str = "", relays: bool = True, serves: bool = True) -> AsyncIterator[Apart]:
    """A part of the shop that works, with the group `recorder`; killed at the end."""
    order = Order(shop.kind, shop.url, shop.name, shop.broker, pauses, relays, serves)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        msgspec.json.encode(order).decode(),
        stdout=PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))},
    )
    try:
        found = Apart(process)
        await found.says("ready")
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Pause:
    """Stops the process, once."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted

    async def at(self, moment: str) -> None:
        if moment == self._wanted:
            self._wanted = ""
            print("there", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)


def _group(order: Order, pause: Pause) -> Group:
    async def handle(tx: Tx, events: Sequence[Event[Any]]) -> None:
        await recording("recorder")(tx, events)
        await pause.at("handling")

    facts = facts_of(order.name)
    return Group("recorder", (on(facts.moved, handle), on(facts.turned, handle)))


def _pause_after_reading(pause: Pause) -> None:
    async def read_and_pause(*args: Any, **options: Any) -> Piece:
        piece = await read_piece(*args, **options)
        if piece.events:
            await pause.at("read")
        return piece

    for module in (consumer, reading):
        vars(module)["read_piece"] = read_and_pause


async def _work(order: Order) -> None:
    pause = Pause(order.pauses)
    hooks = Hooks(lambda: pause.at("published"), lambda: pause.at("read"), lambda: pause.at("took"))
    if order.kind == "log":
        _pause_after_reading(pause)
    part = Part(
        order.kind,
        order.url,
        order.name,
        order.broker,
        [_group(order, pause)],
        hooks,
        relays=order.relays,
        serves=order.serves,
    )
    await part.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    hurry(setattr)
    lose_patience(setattr)
    asyncio.run(_work(msgspec.json.decode(sys.argv[1], type=Order)))
