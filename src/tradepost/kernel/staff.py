"""The teams of a process: who reads the logs for a service's groups, who hears for them from a broker, who relays."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from tradepost.kernel.brokers.port import Broker, Unit
from tradepost.kernel.brokers.receiver import Receiver
from tradepost.kernel.brokers.relay import RELAY, Publication, register_relay
from tradepost.kernel.brokers.shares import Receptions
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.effects import Application
from tradepost.kernel.log.roster import Roster
from tradepost.kernel.log.shares import Shares
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.team import Team
from tradepost.kernel.right_of_way import RightOfWay

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.clocks import Clocks


def consumers_of(name: str, groups: Sequence[Group], db: "Database", clocks: "Clocks", way: RightOfWay) -> Team[Place]:
    """The readers of the logs for a service's groups."""
    roster, by_name = Roster(db, name, clocks.owner), {group.name: group for group in groups}

    def registering(group: Group, source: str) -> Callable[[], Awaitable[Sequence[Place]]]:
        async def register_there() -> Sequence[Place]:
            return await register(db, await clocks.of(source), group, [source])

        return register_there

    def hire(_share: str, places: Sequence[Place]) -> Consumer:
        (place,) = places
        group = by_name[place.group]
        work, rest_s = Application(db, group), group.rest_s([place.source])
        return Consumer(db, clocks[place.source], work, place, roster.owner, lambda: roster.others, way, rest_s)

    missing = {(group.name, source): registering(group, source) for group in groups for source in group.sources()}
    return Team(roster, Shares(db, clocks, missing, roster).units, hire)


def receivers_of(
    name: str, groups: Sequence[Group], db: "Database", clocks: "Clocks", broker: Broker, way: RightOfWay
) -> Team[Unit]:
    """Those who hear from the broker for a service's groups. They share with none that still reads the log."""
    roster = Roster(db, f"{name} by {broker.kind}", clocks.owner)
    by_name = {group.name: group for group in groups}

    def hire(share: str, units: Sequence[Unit]) -> Receiver:
        return Receiver(db, clocks, by_name[share], broker, units, roster, way)

    return Team(roster, Receptions(db, clocks, groups, broker).units, hire, together=broker.together)


def relays_of(source: str, db: "Database", clocks: "Clocks", broker: Broker | None) -> Team[Place]:
    """The relays of a publisher's log. Errors: ValueError without a broker."""
    if broker is None:
        raise ValueError("a relay needs a broker to publish on")
    roster = Roster(db, RELAY, clocks.owner)

    async def register_there() -> Sequence[Place]:
        return await register_relay(db, await clocks.of(source), source)

    def hire(_share: str, places: Sequence[Place]) -> Consumer:
        (place,) = places
        work = Publication(db, broker.publisher())
        return Consumer(db, clocks[source], work, place, roster.owner, lambda: roster.others)

    return Team(roster, Shares(db, clocks, {(RELAY, source): register_there}, roster).units, hire)
