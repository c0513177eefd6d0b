"""A `tx.update` says what a webhook says, in other words; whatever else comes is told apart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from webhook_app.domain.drift import Drift, DriftKind
from webhook_app.listen.messages import OtherEvent, Unreadable, read_message
from webhook_app.models.event import Channel
from webhook_app.web.receive.event_schema import parse_event

DATA = Path(__file__).parents[1] / "data"
EXAMPLE: dict[str, Any] = json.loads((DATA / "tx-update.json").read_bytes())


def test_the_documented_example_is_the_event_of_the_documented_webhook() -> None:
    told = read_message(json.dumps(EXAMPLE))
    webhook = parse_event((DATA / "partner-webhook.json").read_bytes())
    key = ("merchant_transaction_id", "status", "updated_at", "updated_at_key")
    assert [getattr(told, name) for name in key] == [getattr(webhook, name) for name in key]
    assert told.updated_at == datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)
    assert (told.channel, told.crypto_amount, told.fiat_amount) == (
        Channel.WEBSOCKET,
        Decimal("99.50"),
        Decimal("100.00"),
    )
    assert (told.warnings, told.drift) == ((), ())
    assert json.loads(told.body) == EXAMPLE


def test_an_older_form_may_name_the_user_and_the_moment_as_webhooks_do() -> None:
    older = {name: value for name, value in EXAMPLE.items() if name not in ("event", "occurred_at")}
    told = read_message(json.dumps({**older, "partner_user_id": "user-1", "updated_at": "2026-04-01T10:03:45Z"}))
    assert (told.updated_at, told.drift) == (datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC), ())


def test_what_cannot_be_read_beside_id_and_status_is_a_warning() -> None:
    told = read_message(json.dumps({**EXAMPLE, "occurred_at": "soon", "fiat_amount": [1], "status": "on_hold"}))
    assert told.updated_at is None
    assert told.updated_at_key.startswith("?")
    assert len(told.warnings) == 3
    assert {one.kind for one in told.drift} == {DriftKind.STATUS, DriftKind.FORM}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{tx.update", "decode_error"),
        (b"\xff\xfe\x00", "decode_error"),
        ("", "decode_error"),
        ("[]", "validation_error"),
        (json.dumps([EXAMPLE]), "validation_error"),
        (json.dumps({**EXAMPLE, "status": ""}), "validation_error"),
        (json.dumps({name: EXAMPLE[name] for name in ("event", "merchant_transaction_id")}), "missing_param"),
        (json.dumps({**EXAMPLE, "merchant_transaction_id": "a b"}), "validation_error"),
        ("[" * 100_000, "decode_error"),
        ("\ud800", "decode_error"),
    ],
)
def test_what_is_no_update_is_refused_with_a_reason(message: str | bytes, code: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_message(message)
    assert refused.value.code == code
    assert str(refused.value)


@pytest.mark.parametrize(("name", "word"), [("tx.note", "event: tx.note"), (7, "event: (no word)")])
def test_another_event_is_drift(name: object, word: str) -> None:
    with pytest.raises(OtherEvent) as other:
        read_message(json.dumps({**EXAMPLE, "event": name}))
    assert other.value.drift == Drift(DriftKind.FORM, word)
