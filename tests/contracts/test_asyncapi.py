"""The AsyncAPI document is valid, and tells of every fact who sends it and who receives it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contracts import sale
from tests.contracts.schemas import DOCUMENT
from tradepost.contracts import FACTS
from tradepost.kernel.brokers.envelope import encode
from tradepost.main import SERVICES

CHECK: Final = Path(__file__).parent / "asyncapi"
PARSER_TIMEOUT_S: Final = 120


def targets(operation: dict[str, Any]) -> set[str]:
    """The types of event that an operation is about, found by following its references."""
    return {follow(follow(message["$ref"])["$ref"])["name"] for message in operation["messages"]}


def follow(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_fact_is_sent_over_the_channel_of_its_publisher() -> None:
    for publisher in {fact.publisher() for fact in FACTS}:
        operation = DOCUMENT["operations"][f"{publisher}_publishes"]
        assert operation["channel"] == {"$ref": f"#/channels/{publisher}_events"}
        assert targets(operation) == {fact.type for fact in FACTS if fact.publisher() == publisher}


def test_every_group_receives_what_it_subscribes_to() -> None:
    for group in (group for service in SERVICES for group in service.groups):
        for source in group.sources():
            operation = DOCUMENT["operations"][f"{group.name}_receives_{source}_events"]
            assert operation["channel"] == {"$ref": f"#/channels/{source}_events"}
            assert targets(operation) == set(group.of(source))


def test_operations_of_two_groups_never_share_a_name() -> None:
    received = sum(len(group.sources()) for service in SERVICES for group in service.groups)
    assert len(DOCUMENT["operations"]) == len({fact.publisher() for fact in FACTS}) + received


def test_the_exchange_and_the_topic_are_the_documented_ones() -> None:
    bindings = DOCUMENT["channels"]["order_events"]["bindings"]
    exchange = bindings["amqp"]["exchange"]
    assert (exchange["name"], exchange["type"], exchange["durable"]) == ("order_events", "topic", True)
    assert bindings["kafka"]["topic"] == "order_events"


def test_the_schema_names_exactly_the_attributes_that_are_written() -> None:
    for fact in sale.FACTS:
        payload = DOCUMENT["components"]["messages"][fact.type]["payload"]
        written = json.loads(encode(fact.publisher(), sale.published(fact)))
        assert list(payload["properties"]) == list(written)
        assert written.keys() - set(payload["required"]) == {"causationid", "traceparent"}


def test_the_official_parser_finds_no_error(parser: None) -> None:
    names = json.loads(run(DOCUMENT).stdout)
    assert names == [fact.type for fact in FACTS]


def test_the_official_parser_would_find_one(parser: None) -> None:
    channels = {**DOCUMENT["channels"], "order_events": {"address": 1}}
    checked = run({**DOCUMENT, "channels": channels})
    assert checked.returncode == 1
    assert "channels/order_events/address" in checked.stdout


def run(document: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["node", "validate.mjs"],
        cwd=CHECK,
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=PARSER_TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def parser() -> None:
    if not shutil.which("node"):
        missing("node is not installed")
    if not (CHECK / "node_modules" / "ready").exists():
        missing("the parser is not installed: make asyncapi-parser")


def missing(reason: str) -> None:
    if os.environ.get("TRADEPOST_TEST_NO_SKIP"):
        pytest.fail(reason)
    pytest.skip(reason)
