"""The instance that a command works on: its address, its database, and a token to work with."""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from tradepost.console.trouble import Trouble
from tradepost.kernel.auth import TTL_S, Signer
from tradepost.kernel.clock import now
from tradepost.kernel.keys import has_keys, load_or_create_keys
from tradepost.kernel.postgres import find_running, find_secret
from tradepost.main import ISSUER, KEYS, SERVICES
from tradepost.process import Whereabouts
from tradepost.settings import Settings

NAMES: Final = tuple(service.name for service in SERVICES)
CONSOLE: Final = "00000000-0000-7000-8000-000000000001"  # who acts when the command line does
HTTP: Final = re.compile(r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[!-~]*)?")
LOGIN_S: Final = 30.0
RENEW: Final = timedelta(seconds=TTL_S / 2)


class InstanceError(Trouble):
    """There is no instance to work on, or it doesn't let us in; the message is one line."""


class _LoggedIn(msgspec.Struct, frozen=True):
    access_token: str


@dataclass
class Instance:
    """A running Tradepost. `authorization` is good for the request that is made next: a long command asks again."""

    url: str
    data: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        self._token, self._renew_at = "", now()

    def authorization(self) -> Mapping[str, str]:
        """The header that makes a request an administrator's. Errors: InstanceError."""
        if now() >= self._renew_at:
            self._token, self._renew_at = self._fresh_token(), now() + RENEW
        return {"Authorization": f"Bearer {self._token}"}

    def _fresh_token(self) -> str:
        email = self.environment.get("TRADEPOST_ADMIN_EMAIL")
        password = self.environment.get("TRADEPOST_ADMIN_PASSWORD")
        return log_in(self.url, email, password) if email and password else staff_token(self.data)


def find_instance(settings: Settings, environment: Mapping[str, str] = os.environ) -> Instance:
    """Where `TRADEPOST_URL` says, or the one that runs on the data folder. Errors: InstanceError."""
    given = environment.get("TRADEPOST_URL")
    if given and not HTTP.fullmatch(given):
        raise InstanceError(f"TRADEPOST_URL is {given!r}; expected something like http://127.0.0.1:8000")
    return Instance((given or _url_in(settings.data)).rstrip("/"), settings.data, environment)


def database_url(settings: Settings) -> str:
    """The database of the instance, as its owner. Errors: InstanceError."""
    found = settings.database_url or find_running(settings.data)
    if found is None:
        raise InstanceError(f"no PostgreSQL runs in {settings.data}: start `tradepost up`, or set TRADEPOST_DATA")
    return found


def database_urls(settings: Settings) -> dict[str, str]:
    """Each service's database, as its owner, by the service's name. Errors: InstanceError."""
    shared = None if set(settings.databases) >= set(NAMES) else database_url(settings)
    return {name: settings.databases.get(name) or str(shared) for name in NAMES}


def secret_of(settings: Settings) -> str:
    """The secret of the installation, which a command never makes. Errors: InstanceError, PostgresError,
    UnusableKey."""
    found = settings.secret or find_secret(settings.data)
    if found is None:
        raise InstanceError(
            f"there is no secret in {settings.data}: set TRADEPOST_SECRET to that of the shop, "
            "or TRADEPOST_DATA to its folder"
        )
    return found


def staff_token(data: Path) -> str:
    """An administrator's token for ten minutes, signed with the private key in the data folder: whoever may read that
    folder owns the installation anyway. Errors: InstanceError where there is no key, UnusableKey."""
    if not has_keys(data / KEYS):
        hint = "set TRADEPOST_ADMIN_EMAIL and TRADEPOST_ADMIN_PASSWORD, or TRADEPOST_DATA to the folder of the instance"
        raise InstanceError(f"there are no keys in {data}: {hint}")
    key = load_or_create_keys(data / KEYS).current
    return Signer(key.private_pem, key.kid, ISSUER).issue(CONSOLE, ["admin"], [], None, now())


def log_in(url: str, email: str, password: str) -> str:
    """The access token of that account. Errors: InstanceError."""
    body = msgspec.json.encode({"email": email, "password": password})
    request = urllib.request.Request(f"{url}/user/login", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=LOGIN_S) as answer:  # noqa: S310 - the operator's own URL
            return msgspec.json.decode(answer.read(), type=_LoggedIn).access_token
    except urllib.error.HTTPError as error:
        raise InstanceError(f"{url} does not let {email} in: {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise InstanceError(f"{url} does not answer: {error}") from error
    except msgspec.DecodeError as error:
        raise InstanceError(f"{url} is no Tradepost: {error}") from error


def _url_in(data: Path) -> str:
    try:
        found = msgspec.json.decode((data / "run" / "gateway.json").read_bytes(), type=Whereabouts)
        with suppress(PermissionError):  # it lives, as another user
            os.kill(found.pid, 0)
    except (OSError, msgspec.DecodeError):
        hint = "start `tradepost up`, or set TRADEPOST_URL or TRADEPOST_DATA"
        raise InstanceError(f"no Tradepost runs on {data}: {hint}") from None
    return found.url
