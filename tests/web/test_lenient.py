"""What is read leniently is read field by field, as marshmallow's own `load` does it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from marshmallow import Schema, ValidationError

from webhook_app.domain.proof_json import Repeated
from webhook_app.domain.text import as_sentence
from webhook_app.web.api.lenient import load
from webhook_app.web.channels.hints import HintSchema
from webhook_app.web.errors import ApiError
from webhook_app.web.receive.event_schema import WebhookEventSchema

VALUES = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.sampled_from(["", " ", "a", "buy", "Completed", "USDT", "99.50", "1e3", "2026-04-01T10:00:00Z", "é" * 200]),
    some.lists(some.integers(), max_size=1),
    some.dictionaries(some.just("amount"), some.integers(), max_size=1),
)


def keys_of(schema: Schema) -> list[str]:
    return [one.data_key or name for name, one in schema.load_fields.items()]


@pytest.mark.parametrize("schema", [WebhookEventSchema(), HintSchema()], ids=lambda schema: type(schema).__name__)
@given(drawn=some.data())
def test_values_and_messages_are_marshmallows(schema: Schema, drawn: Any) -> None:
    payload = drawn.draw(some.dictionaries(some.sampled_from([*keys_of(schema), "unknown"]), VALUES))
    try:
        expected: tuple[Any, Any] = schema.load(payload), {}
    except ValidationError as error:
        expected = error.valid_data, error.messages
    assert load(schema, payload, ()) == expected


@pytest.mark.parametrize("schema", [WebhookEventSchema(), HintSchema()], ids=lambda schema: type(schema).__name__)
@pytest.mark.parametrize("value", [7, "", "é" * 200, True, {"amount": 1}, Repeated((1, 2))], ids=repr)
def test_every_message_is_a_sentence(schema: Schema, value: Any) -> None:
    _, messages = load(schema, dict.fromkeys(keys_of(schema), value), ())
    texts = [text for of_field in messages.values() for text in of_field]
    assert texts
    assert texts == [as_sentence(text) for text in texts]


@pytest.mark.parametrize(("payload", "code"), [({}, "missing_param"), ({"status": 5}, "validation_error")])
def test_what_is_required_is_refused_by_name(payload: dict[str, Any], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        load(WebhookEventSchema(), payload, ["status"])
    assert caught.value.code == code
    assert caught.value.fields is not None
    assert list(caught.value.fields) == ["status"]
