"""PGDATA: made in one piece or not at all, and refused when another major version wrote it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final

from tradepost.kernel.postgres.account import Account
from tradepost.kernel.postgres.errors import PostgresError, failed
from tradepost.kernel.postgres.folder import password, sync_folder
from tradepost.kernel.postgres.installation import Installation
from tradepost.kernel.postgres.processes import cluster_name

OWNER: Final = "tradepost"  # the superuser, and the name of its database
INITDB: Final = (
    f"--username={OWNER}",
    "--auth=scram-sha-256",
    "--pwfile=/dev/stdin",  # so that the password is in no file and no process title
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)


@dataclass(frozen=True)
class Cluster:
    data: Path
    account: Account
    installation: Installation

    @property
    def pgdata(self) -> Path:
        return self.data / "postgres"

    @property
    def log(self) -> Path:
        return self.data / "postgres.log"

    @cached_property  # the server may be stopped after its folder has been deleted
    def name(self) -> str:
        return cluster_name(self.pgdata)


def prepare(cluster: Cluster, *, fsync: bool) -> None:
    """Makes PGDATA at the first start; afterwards checks that it fits."""
    for unfinished in cluster.data.glob("postgres.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    if not cluster.pgdata.exists():
        _create(cluster, fsync=fsync)
    _check_version(cluster)
    if cluster.account.dropped and cluster.pgdata.stat().st_uid != cluster.account.uid:  # root restored a backup
        cluster.account.own_tree(cluster.pgdata)


def _create(cluster: Cluster, *, fsync: bool) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=cluster.data))
    cluster.account.own(fresh)
    where = f"-D{cluster.account.name_of(fresh)}"
    initdb = [cluster.installation.program("initdb"), where, *INITDB, *(() if fsync else ("--no-sync",))]
    _run(cluster, fresh, initdb, f"{password(cluster.data)}\n")
    single = [cluster.installation.program("postgres"), "--single", where, "-cexit_on_error=on", "template1"]
    _run(cluster, fresh, single, f"CREATE DATABASE {OWNER};\n")
    fresh.rename(cluster.pgdata)
    sync_folder(cluster.data)


def _run(cluster: Cluster, folder: Path, command: Sequence[str], typed: str) -> None:
    with _pipe_with(typed, cluster.account) as stdin:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **cluster.account.options,
        )
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise failed("create its database", cluster.data, done.stdout)


def _pipe_with(text: str, account: Account) -> IO[bytes]:
    """A pipe that holds the short `text`; the account owns it, since `/dev/stdin` is opened a second time."""
    reader, writer = os.pipe()
    account.own(reader)
    os.write(writer, text.encode())
    os.close(writer)
    return os.fdopen(reader, "rb")


def _check_version(cluster: Cluster) -> None:
    found = (cluster.pgdata / "PG_VERSION").read_text().strip()
    if found != str(cluster.installation.major):
        raise PostgresError(
            f"{cluster.pgdata} was written by PostgreSQL {found} and this is PostgreSQL {cluster.installation.major}: "
            f"dump it with the Tradepost that ran on {found} (tradepost backup), "
            "move the folder away and restore the dump into a new one (tradepost restore)"
        )
