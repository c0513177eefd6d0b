"""How pages put moments, durations and counts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask

from tests.support.clock import START
from webhook_app.web.layout.amounts import most_decimals, write_amount
from webhook_app.web.layout.template_filters import (
    ago,
    badge_kind,
    exactly,
    grouped,
    readable,
    readable_words,
    when,
    when_or_day,
)
from webhook_app.web.local_path import local_path


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (1, "1 s ago"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (3 * 3600, "3 h ago"),
        (24 * 3600, "1 day ago"),
        (50 * 3600, "30 Mar 2026 10:00"),
        (70 * 86_400, "21 Jan 2026 12:00"),
        (-90, "in 1 min"),
    ],
)
def test_moment_in_words(seconds: float, words: str) -> None:
    assert ago(START - timedelta(seconds=seconds), START) == words


def test_moment_carries_its_exact_time(app: Flask) -> None:
    with app.app_context():
        shown = when(START - timedelta(minutes=3))
    assert shown == ('<time datetime="2026-04-01T11:57:00Z" title="2026-04-01 11:57:00 UTC">3 min ago</time>')
    assert when(None) == "—"
    assert exactly(START + timedelta(milliseconds=7)) == "2026-04-01 12:00:00.007 UTC"


def test_a_step_of_a_past_day_has_no_time_of_day_twice(app: Flask) -> None:
    """It stands beside it."""
    with app.app_context():
        recent, past = (when_or_day(START - timedelta(days=days)) for days in (1, 2))
    assert ">1 day ago<" in recent
    assert past == '<time datetime="2026-03-30T12:00:00Z" title="2026-03-30 12:00:00 UTC">30 Mar 2026</time>'


def test_sentence_has_no_raw_timestamp() -> None:
    told = readable("reported <b> of 2026-10-30T13:28:05Z and 2026-13-45T00:00:00Z")
    assert told == (
        'reported &lt;b&gt; of <time datetime="2026-10-30T13:28:05Z" title="2026-10-30 13:28:05 UTC">'
        "30 Oct 2026 13:28:05</time> and 2026-13-45T00:00:00Z"
    )
    assert readable_words("stopped at 2026-10-30T13:28:05.25Z; 2026-13-45T00:00:00Z") == (
        "stopped at 30 Oct 2026 13:28:05 UTC; 2026-13-45T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("amount", "decimals", "written"),
    [
        ("1234567.50", 0, "1\u202f234\u202f567.50"),
        ("-1234.5", 0, "-1\u202f234.5"),
        ("0", 0, "0"),
        ("0E-8", 0, "0.00000000"),
        ("0.123456789012345678", 0, '<span class="cut" title="0.123456789012345678">0.12345678…</span>'),
        ("1234.123456789", 0, '<span class="cut" title="1\u202f234.123456789">1\u202f234.12345678…</span>'),
        ("99.50", 4, '99.50<span class="room" aria-hidden="true">\u2007\u2007</span>'),
        ("0.123456789", 9, '<span class="cut" title="0.123456789">0.12345678…</span>'),
        ("0.12345678", 9, '0.12345678<span class="room as-cut" aria-hidden="true"></span>'),
        ("1.123456", 20, '1.123456<span class="room as-cut" aria-hidden="true">\u2007\u2007</span>'),
        ("99", 2, '99<span class="room" aria-hidden="true">\u2008\u2007\u2007</span>'),
    ],
)
def test_amounts_are_grouped_and_exact_or_cut_visibly(amount: str, decimals: int, written: str) -> None:
    assert write_amount(Decimal(amount), decimals) == written


def test_room_is_kept_for_the_longest_amount_of_a_column() -> None:
    assert most_decimals([Decimal("1.5"), None, Decimal("0.250")]) == 3
    assert most_decimals([Decimal("0.123456789012345678"), Decimal("0.1")]) == 18
    assert most_decimals([None]) == 0


def test_counts_and_badges() -> None:
    assert grouped(1234567) == "1\u202f234\u202f567"
    assert [badge_kind(state) for state in ("failed", "succeeded", "unheard of", None)] == [
        "bad",
        "good",
        "neutral",
        "neutral",
    ]


@pytest.mark.parametrize("target", ["/", "/audit?actor=a%20b&x=1", "/rq/0/view/jobs"])
def test_own_path_is_kept(target: str) -> None:
    assert local_path(target) == target
