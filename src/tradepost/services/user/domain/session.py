"""Sessions: how long they live, and what a refresh token that comes in is worth."""

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from tradepost.kernel.errors import Unauthenticated

GRACE: Final = timedelta(seconds=20)  # an answer that got lost may be asked for again
IDLE: Final = timedelta(days=30)
LIFE: Final = timedelta(days=90)
SESSIONS_LIMIT: Final = 500  # of one account; the oldest ends when there is one more


class InvalidRefreshToken(Unauthenticated):
    """Unknown, expired, or of a session that has ended."""

    code = "invalid_refresh_token"


class RefreshTokenReused(Unauthenticated):
    """Somebody else may hold it as well, so the session is over for both."""

    code = "refresh_token_reused"


class Verdict(Enum):
    """What becomes of a refresh token that comes in."""

    ROTATE = auto()  # it is replaced by its successor
    REPEAT = auto()  # the successor is given once more
    REUSED = auto()  # the session ends
    DEAD = auto()


def judge(used_at: datetime | None, expires_at: datetime, revoked_at: datetime | None, now: datetime) -> Verdict:
    """`revoked_at` is of the session, the others of the token."""
    if revoked_at is not None or now >= expires_at:
        return Verdict.DEAD
    if used_at is None:
        return Verdict.ROTATE
    return Verdict.REPEAT if now - used_at <= GRACE else Verdict.REUSED


def expiry(created_at: datetime, now: datetime) -> datetime:
    """When a session that began at `created_at` and is used `now` ends if it isn't used again."""
    return min(now + IDLE, created_at + LIFE)
