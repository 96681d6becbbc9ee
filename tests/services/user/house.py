"""What the tests do over and over: calling as somebody, reading letters and events."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.kernel.http.driver import Client, Response
from tradepost.kernel.auth import Verifier
from tradepost.kernel.clock import now
from tradepost.kernel.http.app import build
from tradepost.kernel.ids import new_id
from tradepost.services.user import service
from tradepost.services.user.desk import Desk

PASSWORD = "a fine long password"
SOMEBODY = "0193d8a0-0000-7000-8000-00000000a11c"


@dataclass
class House:
    """The application, its desk and who may come in."""

    desk: Desk
    verifier: Verifier
    app: Any

    @property
    def anonymous(self) -> Client:
        return Client(self.app)

    def holding(self, access_token: str) -> Client:
        return Client(self.app, {"authorization": f"Bearer {access_token}"})

    def as_(self, role: str, *permissions: str, user_id: str = SOMEBODY) -> Client:
        return self.holding(self.desk.signer.issue(user_id, [role], permissions, new_id(), now()))

    @property
    def admin(self) -> Client:
        return self.as_("admin")

    async def register(self, email: str = "ada@shop.test", **fields: Any) -> str:
        """The id of a new customer."""
        body = {"email": email, "password": PASSWORD, "name": "Ada", **fields}
        answer = await self.anonymous.post("/user/register", body)
        assert answer.status == 201, answer.body
        user_id: str = answer.json["user_id"]
        return user_id

    async def log_in(self, email: str = "ada@shop.test", password: str = PASSWORD) -> Response:
        return await self.anonymous.post("/user/login", {"email": email, "password": password})

    async def customer(self, email: str = "ada@shop.test") -> Client:
        """A client for a new customer."""
        await self.register(email)
        return self.holding((await self.log_in(email)).json["access_token"])

    async def events(self) -> list[tuple[str, str, int, Mapping[str, Any]]]:
        """Type, key, sequence and data of all that was published."""
        rows = await self.desk.db.fetch("SELECT type, key, sequence, data FROM event ORDER BY id")
        return [(row["type"], row["key"], row["sequence"], msgspec.json.decode(row["data"])) for row in rows]

    async def letters(self, to: str) -> Sequence[Mapping[str, Any]]:
        """The letters to an address, newest first."""
        answer = await self.admin.get(f"/user/letters?to={to}")
        found: Sequence[Mapping[str, Any]] = answer.json["data"]
        return found

    async def token(self, to: str, template: str) -> str:
        """The secret of the newest link to an address."""
        text = next(letter["text"] for letter in await self.letters(to) if letter["template"] == template)
        found = re.search(r"#token=(\S+)", text)
        assert found is not None
        return found[1]

    def at(self, desk: Desk) -> "House":
        """The same table of endpoints over another desk."""
        return open_house(desk, self.verifier)

    async def count(self, table: str) -> int:
        found: int = await self.desk.db.fetchval(f"SELECT count(*) FROM {table}")
        return found


def open_house(desk: Desk, verifier: Verifier) -> House:
    return House(desk, verifier, build(service.endpoints, desk, desk.db, verifier))
