"""Another password."""

import asyncio
from typing import Final

from msgspec import Meta
from typing_extensions import Annotated

from tradepost.kernel.clock import now
from tradepost.kernel.errors import FieldError, Invalid
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.endpoint import Idempotency, Rate, Request, customer, post, public
from tradepost.services.user.commands import password as commands
from tradepost.services.user.commands.letters import send_reset
from tradepost.services.user.commands.session import prove
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Account
from tradepost.services.user.domain.letter import InvalidLink
from tradepost.services.user.domain.password import AnyPassword, InvalidCredentials, NewPassword, refuse_common
from tradepost.services.user.domain.profile import login_name
from tradepost.services.user.domain.secret import link_of
from tradepost.services.user.queries.account import read_user
from tradepost.services.user.repository import letter as letters

FORGOT_S: Final = 0.1  # every answer takes so long, so that the time doesn't tell which accounts exist
