"""Pages for this machine only are seen by nobody else."""

from typing import Any

import pytest

from tradepost.gateway.nearby import is_from_here


def asked(client: str | None, host: str, **headers: str) -> dict[str, Any]:
    pairs = [(b"host", host.encode()), *((name.replace("_", "-").encode(), v.encode()) for name, v in headers.items())]
    return {"client": client and (client, 4711), "headers": pairs, "http_version": "1.1"}


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.9.9", "::1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.0.0.1", "[::1]", "[::1]:8000"])
def test_who_sits_here_sees_them(client: str, host: str) -> None:
    assert is_from_here(asked(client, host))


@pytest.mark.parametrize("client", ["192.0.2.1", "10.0.0.1", "2001:db8::1", None])
def test_who_comes_from_elsewhere_does_not(client: str | None) -> None:
    assert not is_from_here(asked(client, "localhost:8000"))


@pytest.mark.parametrize(
    "host", ["shop.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "10.0.0.1"]
)
def test_a_page_of_another_name_that_leads_here_does_not(host: str) -> None:
    assert not is_from_here(asked("127.0.0.1", host))


def test_a_proxy_that_says_nothing_and_gives_our_own_name_is_known_by_its_age() -> None:
    """As nginx does by default."""
    assert not is_from_here({**asked("127.0.0.1", "127.0.0.1:8000"), "http_version": "1.0"})


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "via", "x_real_ip", "x_forwarded_host"])
def test_a_proxy_on_this_machine_does_not(header: str) -> None:
    assert not is_from_here(asked("127.0.0.1", "localhost", **{header: "192.0.2.1"}))
