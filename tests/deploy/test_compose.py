"""compose.yaml: its shape, the parts that it runs, and the environment that it gives them."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.variables import DEPLOY, NAMES, OF_SERVICES, PARTS, known, read_file, unknown
from tradepost import settings
from tradepost.main import Parts

TEXTS: Final = {"type": "array", "items": {"type": "string"}, "minItems": 1}
SERVICE: Final = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {"type": "object", "required": ["context", "dockerfile"]},
        "command": TEXTS,
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
        "hostname": {"type": "string"},
        "profiles": TEXTS,
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^(\$\{\w+:-\d+\}|\d+):\d+$"}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"}},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "additionalProperties": False,
                "properties": {
                    "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]},
                    "required": {"type": "boolean"},
                },
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test"],
            "additionalProperties": False,
            "properties": {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": {"type": "string"}},
                "retries": {"type": "integer"},
                **{name: {"type": "string", "pattern": r"^\d+s$"} for name in ("interval", "timeout", "start_period")},
            },
        },
    },
}
SCHEMA: Final = {
    "type": "object",
    "required": ["services"],
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}
LEFT_OUT: Final = {
    "TRADEPOST_DATABASE_URL",  # each service has one of its own
    *(f"TRADEPOST_KAFKA_{what}" for what in ("TLS", "USERNAME", "PASSWORD", "SASL")),  # it is in the same network
}
OF_THE_GATEWAY: Final = {"TRADEPOST_TRUSTED_PROXIES", "TRADEPOST_RATE_LIMITS"}  # `off` at `user` is another matter
VARIABLE: Final = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def parts(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services of the file that run a part of Tradepost."""
    return {name: found for name, found in compose["services"].items() if found["image"] == "tradepost"}


def filled_in(text: str, given: Mapping[str, str]) -> str:
    """As docker compose fills it in: `${NAME:-default}`, and `${NAME:?message}` for what must be given."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        assert kind == "-" or given.get(name), f"{name} must be given"
        return given.get(name) or rest

    return VARIABLE.sub(value, text)


def environment_of(part: Mapping[str, Any]) -> dict[str, str]:
    given = read_file(DEPLOY / "compose.env.example")
    return {name: filled_in(value, given) for name, value in part["environment"].items()}


def test_it_has_the_shape_of_a_compose_file(compose: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(compose)] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"comand": ["tradepost"]}, "'comand' was unexpected"),
        ({"ports": ["8000"]}, "'8000' does not match"),
        ({"depends_on": {"postgres": {"condition": "healthy"}}}, "'healthy' is not one of"),
    ],
)
def test_a_wrong_shape_would_be_noticed(compose: dict[str, Any], wrong: dict[str, Any], said: str) -> None:
    planted = {**compose, "services": {"order": {**compose["services"]["order"], **wrong}}}
    [error] = Draft202012Validator(SCHEMA).iter_errors(planted)
    assert said in error.message


def test_every_part_is_run_once_under_its_own_name(parts: dict[str, dict[str, Any]]) -> None:
    assert sorted(parts) == PARTS
    for name, part in parts.items():
        assert part["command"] == ["tradepost", "run", name]
        Parts.of(part["command"][2:], environment_of(part)["TRADEPOST_BROKER"])


def test_tradepost_knows_every_variable_and_takes_every_value(parts: dict[str, dict[str, Any]]) -> None:
    for part in parts.values():
        environment = environment_of(part)
        assert unknown(environment) == []
        read = settings.read(environment)
        assert sorted(read.databases) == sorted(read.urls) == sorted(NAMES)
        assert read.broker.kind == "rabbitmq"


def test_every_setting_is_passed_on_or_left_out_on_purpose(parts: dict[str, dict[str, Any]]) -> None:
    for name, part in parts.items():
        left_out = LEFT_OUT if name == "gateway" else LEFT_OUT | OF_THE_GATEWAY
        assert set(part["environment"]) == (known() | OF_SERVICES) - left_out
    assert known() >= LEFT_OUT | OF_THE_GATEWAY


def test_what_the_gateway_alone_is_told_changes_nothing_else_of_it(parts: dict[str, dict[str, Any]]) -> None:
    shared = {name: value for name, value in parts["gateway"]["environment"].items() if name not in OF_THE_GATEWAY}
    assert all(part["environment"] == shared for name, part in parts.items() if name != "gateway")


def test_a_default_of_the_file_is_that_of_the_code(parts: dict[str, dict[str, Any]]) -> None:
    given = dict.fromkeys(("TRADEPOST_SECRET", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"), "0" * 64)
    given |= {"TRADEPOST_BROKER": "rabbitmq", "TRADEPOST_ADMIN_PASSWORD": "of the first administrator"}
    for part in parts.values():
        whole = {name: filled_in(value, given) for name, value in part["environment"].items()}
        without = {name: whole[name] for name, value in part["environment"].items() if ":-" not in value}
        assert len(without) < len(whole)
        assert settings.read(without) == settings.read(whole)


def test_all_that_can_be_given_is_in_the_example() -> None:
    names = {match[0] for match in VARIABLE.findall((DEPLOY / "compose.yaml").read_text())}
    assert names | {"COMPOSE_PROFILES"} == read_file(DEPLOY / "compose.env.example").keys()


def test_an_unknown_variable_would_be_noticed() -> None:
    assert unknown({"TRADEPOST_BROKER": "log", "TRADEPOST_BROKERS": "log", "TRADEPOST_CART_URLS": ""}) == [
        "TRADEPOST_BROKERS",
        "TRADEPOST_CART_URLS",
    ]


def test_every_host_that_a_url_names_is_a_service_of_the_file(
    compose: dict[str, Any], parts: dict[str, dict[str, Any]]
) -> None:
    for part in parts.values():
        read = settings.read(environment_of(part))
        urls = [*read.databases.values(), *(url for each in read.urls.values() for url in each)]
        hosts = {
            urlsplit(url).hostname
            for url in (*urls, read.broker.rabbitmq_url, f"kafka://{read.broker.kafka_bootstrap}")
        }
        assert hosts <= compose["services"].keys()


def test_a_part_listens_where_the_others_look_for_it(parts: dict[str, dict[str, Any]]) -> None:
    for name in NAMES:
        environment = environment_of(parts[name])
        assert settings.read(environment).urls[name] == (f"http://{name}:{environment['PORT']}",)
        assert f"127.0.0.1:{environment['PORT']}/readyz" in parts[name]["healthcheck"]["test"][-1]


def test_each_database_is_made_when_postgresql_starts_first(parts: dict[str, dict[str, Any]]) -> None:
    made = re.findall(r"^CREATE DATABASE (\w+);$", (DEPLOY / "databases.sql").read_text(), re.M)
    urls = settings.read(environment_of(parts["order"])).databases
    assert made == [urlsplit(urls[name]).path.lstrip("/") for name in NAMES]


def test_each_broker_starts_with_its_own_profile(compose: dict[str, Any]) -> None:
    given = read_file(DEPLOY / "compose.env.example")
    profiles = {name: found["profiles"] for name, found in compose["services"].items() if "profiles" in found}
    assert profiles == {"rabbitmq": ["rabbitmq"], "kafka": ["kafka"]}
    assert given["COMPOSE_PROFILES"] == given["TRADEPOST_BROKER"]


def test_every_file_and_volume_that_it_mounts_exists(compose: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for found in compose["services"].values() for volume in found.get("volumes", ())]
    assert [name for name in mounted if name.startswith("./") and not (DEPLOY / name).is_file()] == []
    assert {name for name in mounted if not name.startswith("./")} == compose["volumes"].keys()


def test_what_the_image_copies_is_what_its_context_lets_through() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    allowed = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.M)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
    assert all((DEPLOY.parent / name).exists() for name in allowed)
