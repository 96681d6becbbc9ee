"""What the user service publishes."""

from typing import ClassVar

from tradepost.kernel.events import Fact


class _AboutUser(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "user_id"

    user_id: str


class _Profile(_AboutUser, frozen=True, kw_only=True):
    email: str
    name: str
    phone: str | None = None
    roles: tuple[str, ...] = ("customer",)


class UserRegistered(_Profile, frozen=True, kw_only=True):
    """An account exists; how to reach its owner."""

    type: ClassVar[str] = "user.registered"


class UserUpdated(_Profile, frozen=True, kw_only=True):
    """The profile or the roles as they are now."""

    type: ClassVar[str] = "user.updated"


class UserErased(_AboutUser, frozen=True, kw_only=True):
    """The account's personal data is gone; forget it too."""

    type: ClassVar[str] = "user.erased"
