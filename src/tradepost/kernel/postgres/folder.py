"""The data folder around PGDATA: the lock, the secret, the log and a private place for the server's socket."""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tradepost.kernel.keys import create_once, usable
from tradepost.kernel.postgres.account import Account
from tradepost.kernel.postgres.errors import PostgresError, told_in_one_line

SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES: Final = 107  # what the kernel's sockaddr_un holds
LOG_BYTES: Final = 10 << 20  # a longer log is put aside at the next start


class InstanceLock:
    """One application per data folder: held until released, or until the process ends in whatever way.

    Programs started meanwhile do not inherit it, so a server that outlives a killed application does not keep it.
    """

    def __init__(self, data: Path) -> None:
        with told_in_one_line(data):
            data.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._file = (data / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise PostgresError(
                f"{data} is in use by another Tradepost, process {holder}: "
                "stop that one first, or set TRADEPOST_DATA to a folder of its own"
            ) from None
        with told_in_one_line(data):
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def read_secret(data: Path) -> str:
    """64 hexadecimal digits, made at the first start; whatever needs a key derives it from them. Errors: those of
    `find_secret`."""
    found = find_secret(data)
    if found is not None:
        return found
    with usable(data):
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
        create_once(data / "secret", secrets.token_hex(32).encode())
        sync_folder(data)
        return (data / "secret").read_text()


def find_secret(data: Path) -> str | None:
    """The secret as `read_secret` has it, None where none was made yet. Errors: UnusableKey when it can't be read,
    PostgresError when it is damaged, or gone while there is a database that only it opens."""
    path = data / "secret"
    with usable(path):
        secret = path.read_text(errors="replace") if path.exists() else None
    if secret is None:
        if (data / "postgres").exists():
            raise PostgresError(f"{path} is missing, and only it opens {data / 'postgres'}: restore it from a backup")
        return None
    if not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise PostgresError(f"{path} is damaged: restore it from a backup")
    return secret


def password(data: Path) -> str:
    return hmac.new(bytes.fromhex(read_secret(data)), b"postgres", hashlib.sha256).hexdigest()


def socket_folder(data: Path, account: Account) -> Path:
    """`data/run/postgres`, or where its path is too long or closed to the account, a link there to a temporary one."""
    place = data / "run" / "postgres"
    place.parent.mkdir(mode=0o711, exist_ok=True)
    if place.is_symlink():
        if _is_private(place.readlink(), account):
            return place.readlink()
        place.unlink()
    if _fits(place, account):
        place.mkdir(exist_ok=True)
        return _made_private(place, account)
    if place.exists():
        shutil.rmtree(place)
    temporary = _made_private(_temporary(account), account)
    place.symlink_to(temporary)
    return temporary


def drop_socket_folder(data: Path) -> None:
    """After the server has ended in order, nothing of it stays in the temporary folder."""
    place = data / "run" / "postgres"
    with suppress(OSError):
        place.readlink().rmdir()
        place.unlink()


def roll_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    log.touch(mode=0o600)


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(account: Account) -> Path:
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes it ours
        if Path(folder).is_dir() and _fits(Path(folder, "tradepost-12345678"), account):
            return Path(tempfile.mkdtemp(prefix="tradepost-", dir=folder))
    raise PostgresError("there is no place for PostgreSQL's socket: set TMPDIR to a folder with a short path")


def _fits(place: Path, account: Account) -> bool:
    short = len(os.fsencode(place / SOCKET_NAME)) <= SOCKET_PATH_BYTES
    open_to_all = all(parent.stat().st_mode & stat.S_IXOTH for parent in place.parents)
    return short and (open_to_all or not account.dropped)


def _is_private(place: Path, account: Account) -> bool:
    """False too for a folder that someone else made under our name after the temporary files had been swept."""
    if not place.is_dir() or place.is_symlink():
        return False
    found = place.stat()
    return found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == stat.S_IRWXU


def _made_private(place: Path, account: Account) -> Path:
    place.chmod(stat.S_IRWXU)
    account.own(place)
    return place
