"""Composition root: settings and services become a running process."""

from typing import Final

from tradepost.kernel.service import Service

SERVICES: Final[tuple[Service, ...]] = ()
