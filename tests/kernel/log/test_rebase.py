"""A dump restored into another cluster, whose transaction ids start low again."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests import databases
from tests.kernel.log.probing import RECORD, caught_up, consuming, effects, move, moved, reading, ticking, until
from tests.postgres_fixture import session_server
from tradepost.kernel.database import Database, connect
from tradepost.kernel.log.rebase import Moved, Rebasing, rebase
from tradepost.kernel.log.ticks import Rebased, Ticks
from tradepost.kernel.migrate import migrate, role_of, url_as
from tradepost.kernel.postgres.account import account_for
from tradepost.kernel.postgres.installation import find_installation
