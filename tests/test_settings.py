"""Settings that can't be used are told by name, and without what they hold of secrets."""

import re
from pathlib import Path

import pytest

from tests.deploy.variables import known
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Topology
from tradepost.settings import KafkaLogin, SettingsError, read

LOGIN = {"TRADEPOST_KAFKA_USERNAME": "shop", "TRADEPOST_KAFKA_PASSWORD": "hush-hush"}


def test_kafka_is_reached_as_it_is_said(tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.touch()
    plain = read({}).broker
    public = read({"TRADEPOST_KAFKA_TLS": "on", **LOGIN, "TRADEPOST_KAFKA_SASL": "PLAIN"}).broker
    own = read({"TRADEPOST_KAFKA_TLS": str(authority), **LOGIN}).broker

    assert (plain.kafka_tls, plain.kafka_authorities, plain.kafka_login) == (False, None, None)
    assert (public.kafka_tls, public.kafka_authorities) == (True, None)
    assert public.kafka_login == KafkaLogin("shop", "hush-hush", "PLAIN")
    assert (own.kafka_tls, own.kafka_authorities) == (True, str(authority))
    assert own.kafka_login == KafkaLogin("shop", "hush-hush", "SCRAM-SHA-512")
    assert "hush-hush" not in repr(own)


def test_several_brokers_of_kafka_and_those_with_numbers_are_taken() -> None:
    for bootstrap in ("10.0.0.1:9092,10.0.0.2:9092", "kafka-0.internal", "[::1]:9092, kafka_1:9092"):
        assert read({"TRADEPOST_KAFKA_BOOTSTRAP": bootstrap}).broker.kafka_bootstrap == bootstrap


def test_a_file_without_authorities_is_refused_before_anything_is_connected(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text("hush-hush")
    settings = read({"TRADEPOST_BROKER": "kafka", "TRADEPOST_KAFKA_TLS": str(tmp_path / "authority.pem")})

    with pytest.raises(
        SettingsError, match=r"TRADEPOST_KAFKA_TLS is '.*/authority\.pem', in which no authorities are: "
    ):
        open_broker(settings.broker, Topology((), ()))


def test_proxies_are_named_by_addresses_and_networks() -> None:
    proxies = read({"TRADEPOST_TRUSTED_PROXIES": "10.0.0.5, 10.1.0.0/16,fd00::/64,::1"}).trusted_proxies

    assert [str(network) for network in proxies] == ["10.0.0.5/32", "10.1.0.0/16", "fd00::/64", "::1/128"]
    assert read({"TRADEPOST_TRUSTED_PROXIES": " "}).trusted_proxies == read({}).trusted_proxies == ()


def test_who_names_a_proxy_on_this_machine_is_reached_by_others() -> None:
    assert read({}).is_local
    assert not read({"TRADEPOST_TRUSTED_PROXIES": "127.0.0.1"}).is_local
    assert not read({"TRADEPOST_PUBLIC_URL": "https://shop.example"}).is_local
    assert read({"TRADEPOST_PUBLIC_URL": "http://localhost:8000"}).is_local
    assert not read({"HOST": "0.0.0.0"}).is_local
    assert read({"HOST": "::1"}).is_local
    assert read({"HOST": "::1", "PORT": "8001"}).user.public_url == "http://[::1]:8001"


def test_links_and_messages_are_sent_as_it_is_said() -> None:
    for url in ("https://shop.test", "HTTP://shop.test:8080/mugs", "http://[::1]:8000", "https://m\u00fcller.test"):
        assert read({"TRADEPOST_PUBLIC_URL": f"{url}/"}).user.public_url == url
    for url in ("http://sms.test", "https://me:p%2Fw@sms.test:8443/send?key=1#2"):
        assert read({"TRADEPOST_SMS_URL": url}).notification.sms_url == url
    for sender in (
        "shop@localhost",
        "Shop & Co. <shop@shop.test>",
        '"Shop, Inc." <shop@shop.test>',
        "M\u00fcller <m@b.c>",
    ):
        settings = read({"TRADEPOST_MAIL_FROM": sender})
        assert settings.user.sender == settings.notification.sender == sender
    for url in ("smtp://mail.test", "smtp+starttls://me:p%2Fw@mail.test", "smtps://me:x@[::1]:4650"):
        settings = read({"TRADEPOST_SMTP_URL": url})
        assert settings.user.smtp_url == settings.notification.smtp_url == url
    assert read({"TRADEPOST_SMTP_URL": ""}).user.smtp_url is read({}).notification.smtp_url is None
    assert read({"TRADEPOST_MAIL_FROM": ""}).user.sender == read({}).user.sender == "shop@tradepost.local"
    assert read({"TRADEPOST_SMS_URL": ""}).notification.sms_url is None
    assert read({"HOST": "shop", "TRADEPOST_PUBLIC_URL": ""}).user.public_url == "http://shop:8000"


def test_the_page_on_mail_shows_forms_that_are_taken() -> None:
    page = (Path(__file__).parents[1] / "docs/howto/mail.md").read_text()
    rows = re.findall(r"^\| `(TRADEPOST_\w+)` \| (.*?) \|", page, re.M)
    forms = {name: [form for form in re.findall("`(.+?)`", cell) if len(form) > 1] for name, cell in rows}
    forms["TRADEPOST_SMTP_URL"] = re.findall(r"^\| `(\S+://\S+)` \|", page, re.M)

    assert {name: len(shown) for name, shown in forms.items()} == {
        "TRADEPOST_MAIL_FROM": 3,
        "TRADEPOST_SMS_URL": 2,
        "TRADEPOST_PUBLIC_URL": 2,
        "TRADEPOST_SMTP_URL": 4,
    }
    for name, shown in forms.items():
        for form in shown:
            read({name: form})


def test_the_readme_has_every_setting() -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text()
    rows = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert known() - rows == set()
    assert {"TRADEPOST_URL"} <= rows  # which only commands read


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TRADEPOST_KAFKA_TLS": "/no/such/file"}, "KAFKA_TLS is '/no/such/file'; expected off, on or a file"),
        ({"TRADEPOST_KAFKA_PASSWORD": "hush-hush"}, "TRADEPOST_KAFKA_USERNAME and .* set both or none"),
        ({"TRADEPOST_KAFKA_USERNAME": "shop"}, "TRADEPOST_KAFKA_USERNAME and .* set both or none"),
        ({**LOGIN, "TRADEPOST_KAFKA_SASL": "PLAIN"}, "sends the password as it is: set TRADEPOST_KAFKA_TLS"),
        ({**LOGIN, "TRADEPOST_KAFKA_SASL": "GSSAPI"}, "TRADEPOST_KAFKA_SASL is 'GSSAPI'; expected SCRAM-SHA-512, "),
        ({"TRADEPOST_KAFKA_BOOTSTRAP": "kafka:port"}, "KAFKA_BOOTSTRAP is 'kafka:port'; expected host:port"),
        ({"TRADEPOST_KAFKA_BOOTSTRAP": "kafka:9092,"}, "KAFKA_BOOTSTRAP is 'kafka:9092,'; expected host:port"),
        ({"TRADEPOST_TRUSTED_PROXIES": "nginx"}, "PROXIES has 'nginx'; expected addresses or networks, such as 10.0"),
        ({"TRADEPOST_TRUSTED_PROXIES": "10.0.0.5,"}, "TRUSTED_PROXIES has ''; expected addresses or networks"),
        ({"TRADEPOST_TRUSTED_PROXIES": "10.0.0.5 10.0.0.6"}, "PROXIES has '10.0.0.5 10.0.0.6'; expected"),
        ({"TRADEPOST_TRUSTED_PROXIES": "10.0.0.5:80"}, "PROXIES has '10.0.0.5:80'; expected addresses"),
        ({"TRADEPOST_TRUSTED_PROXIES": "::1,10.1.0.5/16"}, "has '10.1.0.5/16'; write 10.1.0.0/16 .*, or 10.1.0.5 for"),
        ({"TRADEPOST_TRUSTED_PROXIES": "::ffff:10.1.0.5"}, "has '::ffff:10.1.0.5'; write .*IPv4 as such"),
        ({"TRADEPOST_TRUSTED_PROXIES": "fe80::1%eth0"}, "has 'fe80::1%eth0'; write IPv6 without a zone"),
        ({"TRADEPOST_TRUSTED_PROXIES": "0.0.0.0/0"}, "has '0.0.0.0/0', which is everybody: name the proxies"),
        ({"TRADEPOST_TRUSTED_PROXIES": "::/0"}, "has '::/0', which is everybody"),
        ({"TRADEPOST_ORDER_URLS": "http://10.0.0.1:port"}, "TRADEPOST_ORDER_URLS has 'http://10.0.0.1:port'; expected"),
        ({"TRADEPOST_ORDER_URLS": "http://[::1"}, "TRADEPOST_ORDER_URLS has .* expected http://host:port"),
        ({"TRADEPOST_ORDER_URLS": "http://shop:hush-hush@10.0.0.1:8001"}, "TRADEPOST_ORDER_URLS names a user"),
        ({"TRADEPOST_PUBLIC_URL": "shop.test"}, "TRADEPOST_PUBLIC_URL is not of the form https://host/path or http://"),
        ({"TRADEPOST_PUBLIC_URL": "ftp://shop.test"}, "TRADEPOST_PUBLIC_URL is not of the form https://"),
        ({"TRADEPOST_PUBLIC_URL": "https:///mugs"}, "TRADEPOST_PUBLIC_URL is not of the form https://"),
        ({"TRADEPOST_PUBLIC_URL": "https://shop.test:port"}, "TRADEPOST_PUBLIC_URL is not of the form https://"),
        ({"TRADEPOST_PUBLIC_URL": "https://shop.test/?from=mail"}, r"PUBLIC_URL has '\?' in it; expected https://host"),
        ({"TRADEPOST_PUBLIC_URL": "https://shop.test/#mugs"}, "TRADEPOST_PUBLIC_URL has '#' in it; expected"),
        ({"TRADEPOST_PUBLIC_URL": "https://shop.test\n"}, r"TRADEPOST_PUBLIC_URL has '\\n' in it; expected"),
        ({"TRADEPOST_SMS_URL": "smpp://me:hush-hush@sms.test"}, "TRADEPOST_SMS_URL is not of the form https://host"),
        ({"TRADEPOST_SMS_URL": "https://?key=hush-hush"}, "TRADEPOST_SMS_URL is not of the form https://"),
        ({"TRADEPOST_SMS_URL": "https://[sms.test?key=hush-hush"}, "TRADEPOST_SMS_URL is not of the form https://"),
        ({"TRADEPOST_SMS_URL": "https://sms.test/?key=hush-hush\r\nx: y"}, r"TRADEPOST_SMS_URL has '\\r' in it"),
        ({"TRADEPOST_SMS_URL": "https://sms.test /?key=hush-hush"}, "TRADEPOST_SMS_URL has ' ' in it"),
        ({"TRADEPOST_SMTP_URL": "mail.test:25"}, "SMTP_URL is not of the form smtp://user:password@host:587, "),
        ({"TRADEPOST_SMTP_URL": "smtp://me:hush-hush@:587"}, "TRADEPOST_SMTP_URL is not of the form smtp://"),
        ({"TRADEPOST_SMTP_URL": "smtp://me:hush-hush@mail.test:port"}, "TRADEPOST_SMTP_URL is not of the form smtp://"),
        ({"TRADEPOST_SMTP_URL": "https://me:hush-hush@mail.test"}, "TRADEPOST_SMTP_URL is not of the form smtp://"),
        ({"TRADEPOST_MAIL_FROM": "shop"}, "TRADEPOST_MAIL_FROM is 'shop'; expected shop@example.org, Shop <shop@exam"),
        ({"TRADEPOST_MAIL_FROM": "Shop <shop.test>"}, "TRADEPOST_MAIL_FROM is 'Shop <shop.test>'; expected"),
        ({"TRADEPOST_MAIL_FROM": "Shop, Inc. <a@b.c>"}, 'MAIL_FROM is .*, "Shop, Inc." <shop@example.org>'),
        ({"TRADEPOST_MAIL_FROM": "a@b.test, c@d.test"}, "TRADEPOST_MAIL_FROM is 'a@b.test, c@d.test'; expected"),
        ({"TRADEPOST_MAIL_FROM": "shop@shop test"}, "TRADEPOST_MAIL_FROM is 'shop@shop test'; expected"),
        ({"TRADEPOST_MAIL_FROM": "@shop.test"}, "TRADEPOST_MAIL_FROM is '@shop.test'; expected"),
        ({"TRADEPOST_MAIL_FROM": "shop@shop..test"}, "TRADEPOST_MAIL_FROM is 'shop@shop..test'; expected"),
        ({"TRADEPOST_MAIL_FROM": "Shop <a@b.c>\nBcc: d@e.f"}, r"MAIL_FROM is 'Shop <a@b.c>\\nBcc: d@e.f'; expected"),
        ({"TRADEPOST_MAIL_FROM": "shop@shop.test\n"}, r"TRADEPOST_MAIL_FROM is 'shop@shop.test\\n'; expected"),
    ],
)
def test_what_cannot_be_used_is_told_by_name(variables: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        read(variables)
    assert "hush-hush" not in str(error.value)
