"""What the service's handlers and jobs work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradepost.kernel.auth import Signer
from tradepost.kernel.database import Database
from tradepost.services.user.commands.session import Door
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.providers import Smtp
from tradepost.services.user.turns import Turns
from tradepost.settings import UserSettings

ISSUER: Final = "tradepost"  # of access tokens; every Verifier is made with it


@dataclass(frozen=True, kw_only=True)
class Desk:
    """`key` makes the secrets of links, and lies outside the database; without `smtp` letters are read in
    `GET /user/letters`; `first_admin` are address and password when this start has made them."""

    db: Database
    settings: UserSettings
    signer: Signer
    jwks: Mapping[str, Any]
    key: bytes
    passwords: Passwords
    turns: Turns
    smtp: Smtp | None = None
    first_admin: tuple[str, str] | None = None

    @property
    def door(self) -> Door:
        """Where passwords are checked."""
        return Door(db=self.db, passwords=self.passwords, slows=self.settings.rate_limits)
