"""Words of Proof's: letter case and blanks do not matter, and no other word passes for one of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.proof_values import TYPES, read_digits, read_status, read_type
from webhook_app.domain.status import Status

CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])
BLANKS = st.sampled_from(["", " ", "\t", "\r\n", "  "])


@given(st.sampled_from(Status), CASES, BLANKS, BLANKS)
@settings(database=None)
def test_status_is_read_in_any_case_and_among_blanks(status: Status, change: object, before: str, after: str) -> None:
    assert callable(change)
    assert read_status(before + change(str(status)) + after) is status


@pytest.mark.parametrize(
    "text", ["", " ", "paid", "canceled", "complete", "completed.", "com pleted", "faıled", "ｆailed", "completed\0"]
)
def test_other_word_is_no_status(text: str) -> None:
    assert read_status(text) is None


@given(st.text())
@settings(database=None)
def test_any_text_is_a_status_only_by_its_letters(text: str) -> None:
    status = read_status(text)
    assert status is None or status == text.strip().lower()


@given(st.sampled_from(TYPES), CASES, BLANKS)
@settings(database=None)
def test_type_is_read_likewise(word: str, change: object, blank: str) -> None:
    assert callable(change)
    assert read_type(blank + change(word) + blank) == word


@pytest.mark.parametrize("text", ["swap", " Swap ", "", "bu y", "ＢＵＹ"])
def test_other_type_stays_as_it_came(text: str) -> None:
    assert read_type(text) == text


@pytest.mark.parametrize(("value", "read"), [(0, "0"), (123, "123"), (10**40, "1" + "0" * 40), ("7", "7")])
def test_whole_number_is_its_digits(value: object, read: str) -> None:
    assert read_digits(value) == read


@pytest.mark.parametrize("value", [True, False, -1, 1.0, Decimal("1"), Decimal("1.0"), None, [1], {}])
def test_what_is_no_whole_number_stays_what_it_is(value: object) -> None:
    assert read_digits(value) is value
