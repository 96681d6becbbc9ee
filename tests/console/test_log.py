"""`tradepost log rebase` on a log that needs none."""

import os
import subprocess
from pathlib import Path

from tests.system.test_up import TRADEPOST


def test_a_log_that_was_not_restored_needs_no_new_epoch(database_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TRADEPOST_DATABASE_URL": database_url, "TRADEPOST_DATA": str(tmp_path / "data")}

    done = subprocess.run([TRADEPOST, "log", "rebase"], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (
        0,
        "the log is in the cluster that it was written in: nothing to do\n",
    ), done.stderr
