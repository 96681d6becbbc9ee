"""The service over HTTP: its table of endpoints, by noun."""

from typing import Final

from tradepost.kernel.http.endpoint import Endpoint
from tradepost.services.user.api import account, address, admin, api_key, email, imports, password, session

endpoints: Final[tuple[Endpoint, ...]] = (
    *account.endpoints,
    *address.endpoints,
    *session.endpoints,
    *password.endpoints,
    *email.endpoints,
    *admin.endpoints,
    *api_key.endpoints,
    *imports.endpoints,
)
