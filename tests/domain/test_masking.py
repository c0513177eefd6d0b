"""Masking: what is personal or secret is gone, whatever the text is; what tells of the failure stays."""

from __future__ import annotations

import json
import random

import pytest

from webhook_app.domain.masking import MASK, is_personal, mask

PERSONAL = {
    "user_email": "ada@example.com",
    "email": "ada@example.com",
    "address": "TXYZ1234567890abcdefghijkLMNOP",
    "init_token": "it_8f3b2c",
    "signature": "c2lnbmF0dXJl",
    "client_ip": "203.0.113.7",
    "first_name": "Ada",
    "lastName": "Lovelace",
    "Full-Name": "Ada Lovelace",
    "phone_number": "+49 30 901820",
    "card_number": "4111 1111 1111 1111",
    "date_of_birth": "1815-12-10",
    "iban": "DE02120300000000202051",
}
TELLING = {
    "error": "upstream_error",
    "code": "provider_error",
    "message": "the provider is down",
    "request_id": "550e8400-e29b-41d4-a716-446655440000",
    "merchant_transaction_id": "order-2026-04-01-0001",
    "status": "completed",
    "currency": "USDT",
    "network": "TRC20",
    "fiat_amount": "100.00",
}


@pytest.mark.parametrize("name", PERSONAL)
def test_personal_field_is_masked_and_its_name_stays(name: str) -> None:
    assert is_personal(name)
    assert json.loads(mask(json.dumps(TELLING | {name: PERSONAL[name]}))) == TELLING | {name: MASK}


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_of_a_failure_stays(name: str) -> None:
    assert not is_personal(name)
    assert json.loads(mask(json.dumps({name: TELLING[name]}))) == {name: TELLING[name]}


@pytest.mark.parametrize("indent", [None, 2])
def test_depth_and_kind_of_the_value_do_not_matter(indent: int | None) -> None:
    body = {
        "data": [{"user": {"email": "x", "nested": {"phone": 4930901820, "flag": True}}}],
        "address": {"line": ["Main Street", {"house": '}1]"'}], "zip": 10115},
        "names": "stays",
        "email": None,
        "after": "stays",
    }
    assert json.loads(mask(json.dumps(body, indent=indent))) == {
        "data": [{"user": {"email": MASK, "nested": {"phone": MASK, "flag": True}}}],
        "address": MASK,
        "names": "stays",
        "email": None,
        "after": "stays",
    }


def test_json_that_was_cut_off_anywhere_shows_nothing_personal() -> None:
    body = json.dumps({"error": "e", "user": PERSONAL, "list": [PERSONAL], "message": "m"})
    for length in range(len(body)):
        masked = mask(body[:length])
        for name, value in PERSONAL.items():
            shown = next(
                (part for part in (value, value[: len(value) // 2 + 2]) if len(part) > 3 and part in masked), ""
            )
            assert not shown, f"{name} shows in {masked!r}"


def test_escaped_name_is_the_same_name() -> None:
    assert "x@" not in mask('{"\\u0065mail": "x"}')
    assert mask('{"\\u0065mail": "x"}').endswith(f': "{MASK}"}}')


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail ada.l@example.com for help", f"mail {MASK} for help"),
        ("<p>Authorization: Bearer abc.def</p>", f"<p>Authorization: Bearer {MASK}</p>"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d was refused", f"token {MASK} was refused"),
        ("session 9f8e7d6c5b4a39281706f5e4d3c2b1a0 is over", f"session {MASK} is over"),
        ("GET /w?init_token=abc&x=1", f"GET /w?init_token={MASK}&x=1"),
        ("id 550e8400-e29b-41d4-a716-446655440000", "id 550e8400-e29b-41d4-a716-446655440000"),
        ("<h1>502 Bad Gateway</h1> your address 203.0.113.7", "<h1>502 Bad Gateway</h1> your address 203.0.113.7"),
        ('<script>{"email": "a", "b": 1}</script>', f'<script>{{"email": "{MASK}", "b": 1}}</script>'),
        ("", ""),
    ],
)
def test_text_that_is_no_json(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_message_in_json_shows_no_address() -> None:
    assert json.loads(mask('{"message": "unknown user ada@example.com"}')) == {"message": f"unknown user {MASK}"}


def test_hostile_text_takes_no_time() -> None:
    """Neither of these is quadratic."""
    for part in ('"', '\\"', '"email":', "[", '"email":[', "a@", "eyJ.", "token=", "x1-"):
        assert mask(part * 4096) is not None


def test_any_bytes_are_taken() -> None:
    rng = random.Random(1)
    for _ in range(500):
        mask("".join(rng.choice('{}[]",:\\ "emailx1@.é\n') for _ in range(60)))
