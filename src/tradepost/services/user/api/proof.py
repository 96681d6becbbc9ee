"""Asking a caller for the password once more, before what a stolen token must not be able to do."""

from tradepost.kernel.clock import now
from tradepost.kernel.errors import FieldError, Invalid
from tradepost.kernel.http.endpoint import Caller
from tradepost.services.user.commands.session import SESSION, prove
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Account
from tradepost.services.user.domain.password import InvalidCredentials
from tradepost.services.user.queries.account import read_user


class WrongPassword(Invalid):
    """The present password is another one."""

    code = "wrong_password"


async def prove_caller(desk: Desk, caller: Caller, password: str) -> Account:
    """The caller's account. Errors: WrongPassword, which slows the next try down as at log-in; LoginDelayed."""
    account = await read_user(desk.db, caller.user_id, caller)
    email = (account.email or "").lower()
    async with desk.turns.of(email):
        try:
            await prove(desk.door, email, password, f"{SESSION}{caller.session_id}", now())
        except InvalidCredentials:
            refused = FieldError("/current_password", "This is not the account's password.")
            raise WrongPassword("The password is wrong.", errors=[refused]) from None
    return account
