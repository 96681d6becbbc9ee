"""`deploy/nightly-backup`: what it makes, what it drops, and what it leaves alone."""

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests import databases

SCRIPT: Final = Path(__file__).parents[2] / "deploy/nightly-backup"
OURS: Final = re.compile(r"2\d{3}-\d\d-\d\dT\d{6}Z")


def run(environment: dict[str, str], *words: object) -> "subprocess.CompletedProcess[str]":
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [SCRIPT, *map(str, words)],
        env={**os.environ, "PATH": programs, **environment},
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
    )


def test_it_keeps_the_newest_of_its_own_and_tells_when(database_url: str, tmp_path: Path) -> None:
    shop = {
        "TRADEPOST_DATABASE_URL": database_url,
        "TRADEPOST_DATA": str(tmp_path / "data"),
        "TRADEPOST_SECRET": databases.SECRET,
    }
    backups, metrics = tmp_path / "backups", tmp_path / "metrics"
    killed, running = ".2025-01-04T030000Z-ab12.unfinished", ".2025-01-05T030000Z-cd34.unfinished"
    names = ("2025-01-01T030000Z", "2025-01-02T030000Z", "2025-01-03T030000Z", "by-hand", "2025-01-01T030000Z.old")
    for name in (*names, killed, running):
        (backups / name / "inside").mkdir(parents=True)
    os.utime(backups / killed, (time.time() - 2 * 86_400,) * 2)
    metrics.mkdir()
    (tmp_path / "link").symlink_to(backups)

    done = run(shop, tmp_path / "link", 2, metrics)

    assert done.returncode == 0, done.stderr
    left = {path.name for path in backups.iterdir()}
    (new,) = {name for name in left if OURS.fullmatch(name) and not name.startswith("2025")}
    assert left == {new, "2025-01-03T030000Z", "by-hand", "2025-01-01T030000Z.old", running}
    assert (backups / new / "manifest.json").exists()
    (told,) = metrics.iterdir()
    name, value = told.read_text().split()
    assert (told.name, name) == ("shop-backup.prom", "shop_backup_timestamp_seconds")
    assert stat.S_IMODE(told.stat().st_mode) == 0o644
    assert abs(time.time() - int(value)) < 3600


def test_a_backup_that_fails_drops_nothing_and_tells_nothing(tmp_path: Path) -> None:
    for name in ("2025-01-01T030000Z", "2025-01-02T030000Z"):
        (tmp_path / "backups" / name).mkdir(parents=True)
    (tmp_path / "metrics").mkdir()

    done = run({"TRADEPOST_DATA": str(tmp_path / "none")}, tmp_path / "backups", 1, tmp_path / "metrics")

    assert done.returncode != 0
    assert "no PostgreSQL runs" in done.stderr
    assert len(list((tmp_path / "backups").iterdir())) == 2
    assert list((tmp_path / "metrics").iterdir()) == []


def test_it_says_what_it_needs(tmp_path: Path) -> None:
    assert "name the folder" in run({}).stderr
    assert run({}, tmp_path, 0).returncode == 2
    assert list(tmp_path.iterdir()) == []
