"""Opening the desk: keys from the data folder, and the first administrator."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tradepost.kernel.auth import Signer
from tradepost.kernel.keys import UnusableKey, create_once, jwks, load_or_create_keys, usable
from tradepost.kernel.mail import mail_server_of
from tradepost.kernel.service import Room
from tradepost.services.user.commands.first_admin import ensure_admin
from tradepost.services.user.desk import ISSUER, Desk
from tradepost.services.user.domain.secret import SECRET_BYTES
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.providers import Smtp
from tradepost.services.user.turns import Turns
from tradepost.settings import UserSettings

KEYS: Final = "keys"
LINK_KEY: Final = "links.key"


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """The desk, in a shop that has an administrator. Errors: UnusableKey, SettingsError."""
    settings: UserSettings = room.settings
    keys = load_or_create_keys(room.data / KEYS)
    smtp = Smtp(server=mail_server_of(settings.smtp_url), sender=settings.sender) if settings.smtp_url else None
    passwords = Passwords()
    try:
        yield Desk(
            db=room.db,
            settings=settings,
            signer=Signer(keys.current.private_pem, keys.current.kid, ISSUER),
            jwks=jwks(keys.public),
            key=load_or_create_key(room.data / KEYS / LINK_KEY),
            passwords=passwords,
            turns=Turns(),
            smtp=smtp,
            first_admin=await ensure_admin(room.db, passwords, settings.admin_email, settings.admin_password),
        )
    finally:
        passwords.close()


def load_or_create_key(path: Path) -> bytes:
    """A secret of 256 bits in a file that only we may read; of several processes that start at once one makes it.
    Errors: UnusableKey when the file can't be read, or is damaged."""
    with usable(path):
        if not path.exists():
            create_once(path, secrets.token_bytes(SECRET_BYTES))
        key = path.read_bytes()
    if len(key) != SECRET_BYTES:
        raise UnusableKey(f"{path} is damaged; without it open links don't work, so remove it and start again")
    return key
