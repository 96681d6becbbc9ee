"""Inventory: how many units there are, which of them orders hold, and where every unit went. Never oversells."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tradepost.kernel.database import Database
from tradepost.kernel.service import Announcement, Room, Service
from tradepost.services.inventory import api, commands, consumers


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Database]:
    """The desk is the database: inventory needs nothing else."""
    yield room.db


service = Service(
    name="inventory",
    package="tradepost.services.inventory",
    open=open_desk,
    endpoints=api.endpoints,
    groups=(consumers.inventory,),
    announcement=Announcement("stock", commands.tell),
)
