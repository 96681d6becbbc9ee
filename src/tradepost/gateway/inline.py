"""What pages hold within themselves, so that they load nothing: styles and scripts, and what allows these alone."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final

import jinja2

ENVIRONMENT: Final = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def asset(name: str) -> str:
    """The text of a file in `pages`."""
    return files("tradepost.gateway").joinpath("pages", name).read_text()


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page that runs these two alone."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; frame-ancestors 'none'"


def _hash(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
