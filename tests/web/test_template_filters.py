"""How pages put moments, durations and counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from tests.support.clock import START
from webhook_app.web.layout.template_filters import ago, badge_kind, duration, exactly, grouped, when
from webhook_app.web.local_path import local_path


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (61, "1 minute ago"),
        (3 * 3600, "3 hours ago"),
        (50 * 3600, "2 days ago"),
        (70 * 86_400, "2026-01-21"),
        (-90, "in 1 minute"),
    ],
)
def test_moment_in_words(seconds: float, words: str) -> None:
    assert ago(START - timedelta(seconds=seconds), START) == words


def test_moment_carries_its_exact_time(app: Flask) -> None:
    with app.app_context():
        shown = when(START - timedelta(minutes=3))
    assert shown == ('<time datetime="2026-04-01T11:57:00Z" title="2026-04-01 11:57:00 UTC">3 minutes ago</time>')
    assert when(None) == "—"
    assert exactly(START + timedelta(milliseconds=7)) == "2026-04-01 12:00:00.007 UTC"


def test_durations_counts_and_badges() -> None:
    assert [duration(seconds) for seconds in (0.25, 1, 7200)] == ["250 ms", "1 second", "2 hours"]
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
