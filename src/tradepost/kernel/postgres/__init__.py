"""A real PostgreSQL in the data folder, for everyone who does not bring a server of their own."""

from tradepost.kernel.postgres.errors import PostgresError
from tradepost.kernel.postgres.folder import InstanceLock, find_secret, read_secret
from tradepost.kernel.postgres.server import Running, find_running, start

__all__ = ["InstanceLock", "PostgresError", "Running", "find_running", "find_secret", "read_secret", "start"]
