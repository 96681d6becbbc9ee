"""The server's operating-system account: our own, or as root an unprivileged one, since PostgreSQL refuses root."""

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from tradepost.kernel.postgres.errors import PostgresError

# The folder that a process was started in stays within its reach even where the folders above are closed to its
# user, as /root is: PostgreSQL goes by its current folder, and so needs no way in from the top.
HERE: Final = Path("/proc/self/cwd")
CANDIDATES: Final = ("postgres", "nobody")
ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}  # no PG* of ours may steer the server


class Options(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` that start a program under the account."""

    env: dict[str, str]
    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int
    dropped: bool  # from root

    @property
    def options(self) -> Options:
        if self.dropped:
            return {"env": ENVIRONMENT, "user": self.uid, "group": self.gid, "extra_groups": []}
        return {"env": ENVIRONMENT}

    def own(self, target: Path | int) -> None:
        """Hands over one file, folder or descriptor of ours; a link is handed over itself, not what it points at."""
        if self.dropped:
            os.chown(target, self.uid, self.gid, follow_symlinks=isinstance(target, int))

    def own_tree(self, folder: Path) -> None:
        """The folder itself goes last, so that its owner tells whether all of it was handed over."""
        for path in (*folder.rglob("*"), folder):
            self.own(path)

    def name_of(self, folder: Path) -> Path:
        """The path by which the account's programs, started in `folder`, reach it."""
        return HERE if self.dropped else folder


def account_for(pgdata: Path) -> Account:
    """As root, the owner of an existing PGDATA keeps it: `sudo` once must not lock out the usual user afterwards."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), dropped=False)
    if not HERE.exists():
        raise PostgresError("PostgreSQL does not run as root here: start Tradepost as an ordinary user")
    if pgdata.exists() and pgdata.stat().st_uid != 0:
        return Account(pgdata.stat().st_uid, pgdata.stat().st_gid, dropped=True)
    users = {user.pw_name: user for user in pwd.getpwall()}
    for name in CANDIDATES:
        if name in users:
            return Account(users[name].pw_uid, users[name].pw_gid, dropped=True)
    raise PostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody: add one of them")
