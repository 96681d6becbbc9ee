"""Who is there: the living processes that share a team's work. One that was killed is gone at once, since the server
notices that its connection ended; one that hangs, or whose machine is gone, when it was not seen for a while."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradepost.kernel.database import Database

STALE_S: Final = 10.0

# Whose listening connection still holds its lock (`SHOW_ALIVE` in ticks.py).
ALIVE: Final = """EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32 | objid::bigint) = hashtextextended(owner, 0))"""
_BEAT: Final = f"""
WITH beat AS (
    INSERT INTO member (team, owner) VALUES ($1, $2)
    ON CONFLICT (team, owner) DO UPDATE SET seen_at = clock_timestamp()
), gone AS (
    DELETE FROM member WHERE team = $1 AND owner <> $2 AND seen_at < clock_timestamp() - interval '1 hour'
)
SELECT owner FROM member
WHERE team = $1 AND owner <> $2 AND seen_at > clock_timestamp() - make_interval(secs => $3)
  AND {ALIVE}
"""
_LEAVE: Final = "DELETE FROM member WHERE team = $1 AND owner = $2"


class Roster:
    """The team's members, as `owner` saw them last."""

    def __init__(self, db: "Database", team: str, owner: str) -> None:
        self._db, self._team, self.owner = db, team, owner
        self.others: frozenset[str] = frozenset()

    @property
    def members(self) -> tuple[str, ...]:
        """All, `owner` included, in an order that all agree on."""
        return tuple(sorted({self.owner, *self.others}))

    async def beat(self) -> None:
        """Say that we are here, and look who else is."""
        rows = await self._db.fetch(_BEAT, self._team, self.owner, STALE_S)
        self.others = frozenset(row["owner"] for row in rows)

    async def leave(self) -> None:
        """Say that we are gone."""
        await self._db.fetch(_LEAVE, self._team, self.owner)
