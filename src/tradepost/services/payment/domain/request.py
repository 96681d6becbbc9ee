"""What a provider is asked, under a key."""

import msgspec


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Take `amount` minor units by the token `method`."""

    key: str
    amount: int
    currency: str
    method: str


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Give back `amount` minor units of the charge of `charge_key`, which the provider calls `charge_reference`."""

    key: str
    charge_key: str
    charge_reference: str
    amount: int
    currency: str
