"""Files and folders of a backup: private, and on the disk before anything is said to be done."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tradepost.console.backup.manifest import FOLDERS, SECRET
from tradepost.kernel.keys import usable

PRIVATE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700


def secret_files(data: Path) -> Iterator[Path]:
    """What a shop keeps outside its databases, of which all is secret: paths in the data folder. Errors: UnusableKey
    for a folder that can't be read."""
    with usable(data):
        for path in (data / SECRET, *(path for name in FOLDERS for path in _below(data / name))):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(data)


def _below(folder: Path) -> Iterator[Path]:
    """`Path.rglob` would pass over what it can't read. Errors: OSError."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield path
        if not path.is_symlink():
            yield from _below(path)


def copy_secrets(source: Path, target: Path, secret: str | None = None) -> None:
    """Copy them to another folder, readable by us alone. `secret` is the installation's where the folder has none.
    Errors: UnusableKey."""
    for path in secret_files(source):
        with usable(source / path):
            content = (source / path).read_bytes()
        _write(target / path, content)
    if secret is not None and not (target / SECRET).exists():
        _write(target / SECRET, secret.encode())


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def settle(folder: Path) -> None:
    """Everything in `folder` becomes private, and outlives a power failure."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE)
        sync(path)


def sync(path: Path) -> None:
    """The file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """The folder is gone, if it was there."""
    shutil.rmtree(folder, ignore_errors=True)


def is_vacant(folder: Path) -> bool:
    """Whether there is no such folder, or an empty one."""
    return not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
