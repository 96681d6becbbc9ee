"""The door for webhooks: only what is signed, only now, and each only once."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.kernel.http.driver import Client
from tests.services.payment.till import Till
from tradepost.services.payment import jobs
from tradepost.services.payment.signatures import InvalidSignature, load_secrets, sign, verify

OLD, NEW = b"o" * 32, b"n" * 32
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
BODY = b'{"type":"charge.captured"}'


def test_either_active_secret_will_do_and_several_signatures_may_be_sent() -> None:
    old, new = (sign(secret, "msg_1", NOW, BODY) for secret in (OLD, NEW))
    both = {**old, "webhook-signature": f"v1a,other {old['webhook-signature']} {new['webhook-signature']}"}

    assert verify((NEW, OLD), old, BODY, NOW) == "msg_1"
    assert verify((NEW, OLD), new, BODY, NOW + timedelta(seconds=300)) == "msg_1"
    assert verify((NEW,), both, BODY, NOW - timedelta(seconds=300)) == "msg_1"


@pytest.mark.parametrize(
    ("changed", "body", "late_s"),
    [
        ({}, BODY + b" ", 0),
        ({}, BODY, 301),
        ({}, BODY, -301),
        ({"webhook-id": "msg_2"}, BODY, 0),
        ({"webhook-id": ""}, BODY, 0),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, BODY, 0),
        ({"webhook-timestamp": "now"}, BODY, 0),
        ({"webhook-signature": ""}, BODY, 0),
        ({"webhook-signature": "v1,"}, BODY, 0),
        ({"webhook-signature": "v1,ä"}, BODY, 0),
        (sign(b"x" * 32, "msg_1", NOW, BODY), BODY, 0),
    ],
)
def test_what_is_altered_late_or_signed_by_others_is_refused(changed: dict[str, str], body: bytes, late_s: int) -> None:
    headers = {**sign(NEW, "msg_1", NOW, BODY), **changed}

    with pytest.raises(InvalidSignature):
        verify((NEW, OLD), headers, body, NOW + timedelta(seconds=late_s))


def test_secrets_are_made_once_for_the_owner_only_and_can_be_rotated(tmp_path: Path) -> None:
    file = tmp_path / "payment" / "webhook-secrets"
    (first,) = load_secrets(file)
    assert load_secrets(file) == (first,)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["webhook-secrets"]

    file.write_text("whsec_bmV3\n" + file.read_text() + "whsec_b2xkZXN0\n")

    assert load_secrets(file) == (b"new", first)
    file.write_text("\n")
    with pytest.raises(ValueError, match="no webhook secret"):
        load_secrets(file)


async def test_a_signed_webhook_moves_the_payment_and_its_repetition_does_not(
    till: Till, stranger: Client, tmp_path: Path
) -> None:
    order_id = await till.request("pm_sim_reorderedWebhooks")
    await jobs.send(till.desk)
    secret = load_secrets(tmp_path / "payment" / "webhook-secrets")[0]
    data = {"key": f"order:{order_id}:charge:1", "reference": "ch_1", "reason": "lost_card"}

    async def tell(event_id: str, type_: str) -> int:
        body = msgspec.json.encode({"type": type_, "timestamp": "2026-11-23T08:00:00Z", "data": data, "more": 1})
        headers = sign(secret, event_id, datetime.now(UTC), body)
        response = await stranger.post("/payment/webhooks/simulator", body, **headers)
        return response.status

    assert await tell("msg_1", "charge.disputed") == 204
    assert await till.published(order_id) == []
    assert [await tell("msg_2", "charge.declined"), await tell("msg_2", "charge.declined")] == [204, 204]
    assert await tell("msg_2", "charge.captured") == 204

    assert await till.published(order_id) == ["failed"]
    assert (await till.data(order_id, "failed"))["reason"] == "lost_card"
    assert await till.db.fetchval("SELECT count(*) FROM webhook") == 2


async def test_a_webhook_that_is_not_the_providers_changes_nothing(
    till: Till, stranger: Client, tmp_path: Path
) -> None:
    order_id = await till.request("pm_sim_reorderedWebhooks")
    await jobs.send(till.desk)
    data = {"key": f"order:{order_id}:charge:1", "reference": "ch_1"}
    body = msgspec.json.encode({"type": "charge.captured", "timestamp": "2026-11-23T08:00:00Z", "data": data})
    secret = load_secrets(tmp_path / "payment" / "webhook-secrets")[0]
    good = sign(secret, "msg_1", datetime.now(UTC), body)

    unsigned = await stranger.post("/payment/webhooks/simulator", body)
    forged = await stranger.post("/payment/webhooks/simulator", body, **sign(b"x", "msg_1", datetime.now(UTC), body))
    elsewhere = await stranger.post("/payment/webhooks/nobody", body, **good)
    nonsense = await stranger.post(
        "/payment/webhooks/simulator", b"[]", **sign(secret, "msg_3", datetime.now(UTC), b"[]")
    )

    assert [unsigned.error, forged.error] == [(401, "invalid_signature")] * 2
    assert elsewhere.error == (404, "not_found")
    assert nonsense.error == (422, "invalid_request")
    assert await till.published(order_id) == []
    assert await till.db.fetchval("SELECT count(*) FROM webhook") == 0
