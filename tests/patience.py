"""How long a test waits for what must come true. It is never waited for in vain where the product is right, so this is
long: machines are slow at times, and stand still. Only limits that have to expire in a test are short."""

from typing import Final

PATIENCE_S: Final = 120.0
