"""Text from outside, made storable; ids that can be used."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.text import as_sentence, is_usable_id, storable


@pytest.mark.parametrize("text", ["a", "550e8400-e29b-41d4-a716-446655440000", "A.b_C:d-1", ".", "..", "x" * 128])
def test_usable_id(text: str) -> None:
    assert is_usable_id(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a/b", "a\n", "\na", "a\0", "é", "٣", "Ａ", "\ud800", "a%2Fb", "a?b", "a#b", "x" * 129]
)
def test_unusable_id(text: str) -> None:
    assert not is_usable_id(text)


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("plain", 10, "plain"),
        ("plain", 3, "pla"),
        ("plain", 0, ""),
        ("a\0b", 10, "a\ufffdb"),
        ("a\ud800b\udfff", 10, "a\ufffdb\ufffd"),
        ("a\x1b[31mb\x7f", 10, "a\ufffd[31mb\ufffd"),
        ("tab\tline\r\n", 10, "tab\tline\r\n"),
        ("Zürich 中 😀", 20, "Zürich 中 😀"),
    ],
)
def test_text_is_cut_and_what_cannot_be_stored_replaced(text: str, limit: int, kept: str) -> None:
    assert storable(text, limit) == kept


@given(st.text(st.characters(), max_size=50), st.integers(0, 60))
@settings(database=None)
def test_any_text_becomes_storable(text: str, limit: int) -> None:
    kept = storable(text, limit)
    assert len(kept) == min(len(text), limit)
    assert "\0" not in kept
    assert kept.encode().decode() == kept
    assert storable(kept, limit) == kept


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("not an amount; ignored", "Not an amount; ignored."),
        ("Must not be empty.", "Must not be empty."),
        ("élan", "Élan."),
        ("7 of 9", "7 of 9."),
    ],
)
def test_what_is_wrong_with_a_field_is_a_sentence(words: str, sentence: str) -> None:
    assert as_sentence(words) == sentence
