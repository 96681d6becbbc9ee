"""What a password must be like, and how long to wait after wrong ones."""

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta

from tradepost.kernel.errors import FieldError, Invalid, TooMany, Unauthenticated

LENGTH_MIN: Final = 8  # characters
LENGTH_MAX: Final = 1024  # characters

FREE_FAILURES: Final = 5
FREE_FAILURES_EVERYWHERE: Final = 100  # NIST SP 800-63B-4, 3.2.2
LONGEST_DELAY_S: Final = 300
FORGET_FAILURES: Final = timedelta(days=1)

NewPassword = Annotated[str, Meta(min_length=LENGTH_MIN, max_length=LENGTH_MAX)]
AnyPassword = Annotated[str, Meta(max_length=LENGTH_MAX)]

_GROWING: Final = tuple(timedelta(seconds=min(2**n, LONGEST_DELAY_S)) for n in range(LONGEST_DELAY_S.bit_length() + 1))
DELAYS: Final = (*(timedelta() for _ in range(FREE_FAILURES)), *_GROWING)
"""After the nth failure in a row from one place, from the first; the last holds for all that follow. A place is a
network, or a session: a stranger's failures delay the stranger."""
DELAYS_EVERYWHERE: Final = (*(timedelta() for _ in range(FREE_FAILURES_EVERYWHERE)), *_GROWING)
"""The same for failures from many places, which do not hold up who was logged in from the same place before."""


class CommonPassword(Invalid):
    """One of those that are tried first."""

    code = "common_password"


class InvalidCredentials(Unauthenticated):
    """No such account, or another password; which, is not told."""

    code = "invalid_credentials"


class LoginDelayed(TooMany):
    """Too many wrong passwords in a row."""

    code = "login_delayed"


def refuse_common(password: str, email: str, common: Collection[str], pointer: str = "/password") -> None:
    """Refuse what everybody tries first; `common` are in lower case. Errors: CommonPassword.

    There are no rules about digits and capitals, and every character counts as it was sent. NIST SP 800-63B-4 asks
    for 15 characters where the password is the only factor; we ask for 8, its minimum beside a second factor, since
    customers of shops expect it, and answer guessing with delays and this list."""
    folded = password.casefold()
    own = {email.casefold(), email.casefold().partition("@")[0]}
    if folded in common or folded in own:
        refused = FieldError(pointer, "Too easily guessed.")
        raise CommonPassword("Choose another password; this one is among the first that are tried.", errors=[refused])
