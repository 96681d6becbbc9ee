"""The URL of a mail server means the same to all who send mail."""

import pytest

from tradepost.kernel.mail import MailServer, mail_server_of
from tradepost.settings import SettingsError

LOGIN = "me%40shop.test:p%2Fw"


@pytest.mark.parametrize(
    ("url", "port", "use_tls", "start_tls"),
    [
        ("smtp://mail.test", 25, False, None),
        (f"smtp://{LOGIN}@mail.test", 587, False, None),
        (f"smtp://{LOGIN}@mail.test:2525", 2525, False, None),
        ("smtp+starttls://mail.test", 587, False, True),
        (f"smtp+starttls://{LOGIN}@mail.test", 587, False, True),
        ("smtps://mail.test", 465, True, False),
        (f"smtps://{LOGIN}@mail.test:4465", 4465, True, False),
    ],
)
def test_the_url_says_where_and_how_to_encrypt(url: str, port: int, use_tls: bool, start_tls: bool | None) -> None:
    server, has_login = mail_server_of(url), LOGIN in url

    username, password = ("me@shop.test", "p/w") if has_login else (None, None)
    assert server == MailServer("mail.test", port, username, password, use_tls, start_tls)
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "url", ["mail.test", "http://me:hush@mail.test", "smtp://", "smtp://me:hush@mail.test:port", "smtps://me:hush@[::1"]
)
def test_another_url_is_refused_with_a_hint_and_without_its_password(url: str) -> None:
    with pytest.raises(
        SettingsError, match="TRADEPOST_SMTP_URL is not of the form smtp://user:password@host:587"
    ) as told:
        mail_server_of(url)
    assert "hush" not in str(told.value)
