"""Drift: words are kept, values and whatever may be one are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.drift import (
    MAX_WORD,
    MOST_OF_ONE_MESSAGE,
    NO_WORD,
    DriftKind,
    drift_of_error,
    drift_of_form,
    drift_of_transaction,
    make_drift,
)
from webhook_app.domain.text import storable


@pytest.mark.parametrize("word", ["refunded", "on hold", "ON_HOLD", "a.b/c-d", "支払済み", "step_2", "x" * MAX_WORD])
def test_word_is_kept(word: str) -> None:
    assert make_drift(DriftKind.STATUS, word).word == word


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "x" * (MAX_WORD + 1),
            "user@example.com",
            "4111 1111 1111 1111",
            "+49 30 1234567",
            "<script>",
            "a\0",
        ),
        *("550e8400-e29b-41d4-a716-446655440000", "=1+1", "a\nb", "\udce9", "it's", "\u202ecba"),
    ],
    ids=ascii,
)
def test_what_may_be_a_value_is_no_word(text: str) -> None:
    assert make_drift(DriftKind.FIELD, text).word == NO_WORD


def test_of_one_message_a_bounded_number_is_noted() -> None:
    body: dict[str, Any] = {f"field {letter}{other}": 1 for letter in "abcdefgh" for other in "abcdefgh"}
    assert len(drift_of_transaction(body)) == len(drift_of_error(body, None)) == MOST_OF_ONE_MESSAGE


def test_two_texts_that_are_no_words_are_one() -> None:
    assert len(drift_of_transaction({"a@b": 1, "c@d": 2})) == 1


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("updated_at", "01/04/2026 10:03 Uhr", "updated_at: text 9/9/9 9:9 a"),
        ("fiat_amount", "€ 1,50", "fiat_amount: text ? 9,9"),
        ("partner_user_id", "Jane Doe", "partner_user_id: text"),
        ("crypto_amount", True, "crypto_amount: true or false"),
        ("crypto_amount", "", "crypto_amount: text"),
        ("updated_at", None, "updated_at: null"),
    ],
)
def test_form_says_what_it_is_and_not_its_value(name: str, value: object, word: str) -> None:
    assert drift_of_form(name, value).word == word


JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.text() | st.sampled_from(["status", "type"]), JSON, max_size=30))
@settings(database=None)
def test_whatever_is_sent_its_words_can_be_stored(body: dict[str, Any]) -> None:
    found = [*drift_of_transaction(body), *drift_of_error(body, None)]
    found += [drift_of_form(name, value) for name in ("fiat_amount", "network") for value in body.values()]
    for drift in found:
        assert 0 < len(drift.word) <= MAX_WORD
        assert drift.word == storable(drift.word, MAX_WORD)
        assert drift.word.isprintable()
