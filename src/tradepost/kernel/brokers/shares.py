"""What a service's groups receive from a broker, as work to be shared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from tradepost.kernel.brokers.enrolment import enrol
from tradepost.kernel.brokers.port import Broker, Unit
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.clocks import Clocks

logger = structlog.get_logger()


class Receptions:
    """Has the broker serve each group, once."""

    def __init__(self, db: "Database", clocks: "Clocks", groups: Sequence[Group], broker: Broker) -> None:
        self._db, self._clocks, self._broker = db, clocks, broker
        self._waiting = {group.name: group for group in groups}
        self._served: dict[str, Sequence[Unit]] = {}

    async def units(self) -> Mapping[str, Sequence[Unit]]:
        """The units of all groups that are served, by group."""
        for group in list(self._waiting.values()):
            await self._serve(group)
        return self._served

    async def _serve(self, group: Group) -> None:
        try:
            await enrol(self._db, self._clocks, group, self._broker)
            self._served[group.name] = await self._broker.units(group)
        except Exception as error:
            logger.warning("waits_for_broker", group=group.name, why=str(error) or type(error).__name__)
            return
        del self._waiting[group.name]
