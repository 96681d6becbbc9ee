"""What stands in a page runs there, and nothing else does."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from tradepost.gateway import account

PAGES = account.render()


@pytest.mark.parametrize("page", [PAGES.reset_password, PAGES.verify_email])
@pytest.mark.parametrize(("tag", "rule"), [("style", "style-src"), ("script", "script-src")])
def test_the_policy_names_what_is_in_the_page(page: str, tag: str, rule: str) -> None:
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
    hashed = b64encode(sha256(text.encode()).digest()).decode()

    assert f"{rule} 'sha256-{hashed}';" in PAGES.headers["Content-Security-Policy"]
    assert not re.search(r"\son\w+=|\sstyle=", page)
