"""Which variables `tradepost` knows: seen from the outside, by what it asks its environment for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tradepost import settings
from tradepost.main import SERVICES

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
NAMES: Final = [service.name for service in SERVICES]
PARTS: Final = sorted([*NAMES, "gateway", "relay"])
OF_SERVICES: Final = {f"TRADEPOST_{name.upper()}_{what}" for name in NAMES for what in ("DATABASE_URL", "URLS")}


class Asked(Mapping[str, str]):
    """An empty environment that keeps the names which were looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def known() -> set[str]:
    """Every variable that is a setting, but for those of single services."""
    asked = Asked()
    settings.read(asked)
    return asked.names


def unknown(environment: Mapping[str, str]) -> list[str]:
    """The variables that nothing would read."""
    return sorted(environment.keys() - known() - OF_SERVICES)


def read_file(path: Path) -> dict[str, str]:
    """The lines `NAME=value`, as docker compose, systemd and a shell read them."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.isascii() and not set(line) & set(" \"'$`\\") for line in lines), "they read these differently"
    return dict(line.split("=", 1) for line in lines)
