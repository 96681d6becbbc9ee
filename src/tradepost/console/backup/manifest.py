"""What a backup says of itself: who made it and when, which file holds what, and how each file must read."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from tradepost.console.trouble import Trouble
from tradepost.main import KEYS, SERVICES

NAME: Final = "manifest.json"
FORMAT: Final = 1
LOG: Final = "log"  # the schema of ticks, one per database
SECRETS: Final = "secrets"  # the folder for what lies beside the databases
SECRET: Final = "secret"  # noqa: S105 - a file of the data folder
FOLDERS: Final = (KEYS, *(service.name for service in SERVICES))  # of the data folder: keys, and what services keep


class BackupError(Trouble):
    """A backup can't be made or used; the message says what to do."""


class File(msgspec.Struct, frozen=True):
    """One file of the backup, as it must be."""

    size: int
    sha256: str


class Database(msgspec.Struct, frozen=True):
    """A database that was backed up: each service's schema lies in `<service>.dump`, its ticks in `log`. `events` are
    how many events lie on each service's log; `extensions` are those in the schema of that name."""

    services: tuple[str, ...]
    log: str
    server: str
    events: Mapping[str, int]
    extensions: tuple[str, ...]
    migrations: Mapping[str, tuple[str, ...]]


class Manifest(msgspec.Struct, frozen=True):
    """Everything about a backup; `files` go by their path in it. `writers_held_up_ms` is what the cut cost."""

    format: int
    tradepost: str
    made_at: datetime
    writers_held_up_ms: float
    databases: tuple[Database, ...]
    files: Mapping[str, File]


def of(folder: Path, made_at: datetime, held_up_s: float, databases: Sequence[Database]) -> Manifest:
    """The manifest of what lies in `folder`."""
    found = {str(path.relative_to(folder)): _file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    return Manifest(FORMAT, version("tradepost"), made_at, round(held_up_s * 1000, 1), tuple(databases), found)


def read(folder: Path) -> Manifest:
    """The manifest in `folder`, of which every file was checked. Errors: BackupError."""
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup, or one that was never finished: it has no {NAME}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{folder / NAME} is damaged ({error}): use another backup") from None
    if manifest.format != FORMAT:
        raise BackupError(f"{folder} was made by Tradepost {manifest.tradepost}: restore it with that version or newer")
    wrong = list(_wrong(folder, manifest))
    if wrong:
        raise BackupError(f"the backup in {folder} is damaged: {', '.join(wrong)}; use another one")
    _check_age(manifest)
    return manifest


def _wrong(folder: Path, manifest: Manifest) -> Iterator[str]:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != expected.size or _file(path) != expected:
            yield f"{name} was changed"
    for database in manifest.databases:
        for name in (database.log, *(f"{service}.dump" for service in database.services)):
            if name not in manifest.files:
                yield f"{name} is not in it"


def _check_age(manifest: Manifest) -> None:
    """A schema that a newer version has changed is not one that this version can work with."""
    packages = {service.name: service.package for service in SERVICES}
    for database in manifest.databases:
        for service, applied in database.migrations.items():
            known = {*_migrations("tradepost.kernel"), *_migrations(packages.get(service, "tradepost.kernel"))}
            if service not in packages or not known.issuperset(applied):
                raise BackupError(
                    f"the backup is of Tradepost {manifest.tradepost}, which is newer than this one: "
                    "restore it with that version"
                )


def _migrations(package: str) -> set[str]:
    return {f"{package}/{file.name}" for file in files(package).joinpath("migrations").iterdir()}


def _file(path: Path) -> File:
    with path.open("rb") as opened:
        return File(path.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())
