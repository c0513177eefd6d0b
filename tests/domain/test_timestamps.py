"""Timestamps: ISO 8601 in, aware UTC inside, ISO 8601 with Z out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp

MOMENT = datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-01T10:03:45Z", MOMENT),
        ("2026-04-01T10:03:45+00:00", MOMENT),
        ("2026-04-01T10:03:45", MOMENT),
        ("2026-04-01t10:03:45Z", MOMENT),
        ("2026-04-01T12:03:45+02:00", MOMENT),
        ("2026-03-31T23:03:45-11:00", MOMENT),
        ("2026-04-01T10:03:45.120Z", MOMENT + timedelta(milliseconds=120)),
        ("2026-04-01T10:03:45.123456789Z", MOMENT + timedelta(microseconds=123456)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_timestamp_is_read_as_utc(text: str, moment: datetime) -> None:
    read = parse_timestamp(text)
    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "T",
            "yesterday",
            "2026-04-01",
            "2026-04-01 10:03:45Z",
            "10:03:45Z",
            "2026-04-01T",
            "2026-04-01T10:03:45X",
        ),
        *("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-04-01T25:00:00Z", "2026-04-01T10:03:60Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-04-01T10:03:45+99:00"),
        *(
            "\ud800T",
            "2026-04-01T10:03:45Z\0",
            "２０２６-04-01T10:03:45Z",
            "T" * 10_000,
            "2026-04-01T10:03:45." + "1" * 99,
        ),
        *(None, 1775037600, 1.5, True, [], {}, b"2026-04-01T10:03:45Z", MOMENT),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_timestamp_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(value)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (MOMENT, "2026-04-01T10:03:45Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=2))), "2026-04-01T10:03:45Z"),
        (MOMENT + timedelta(microseconds=120), "2026-04-01T10:03:45.000120Z"),
        (None, None),
    ],
)
def test_timestamp_is_written_in_utc(moment: datetime | None, text: str | None) -> None:
    assert format_timestamp(moment) == text


@given(st.datetimes(timezones=st.just(UTC)))
@settings(database=None)
def test_moment_written_and_read_is_the_same_moment(moment: datetime) -> None:
    assert parse_timestamp(format_timestamp(moment)) == moment


@given(st.text(alphabet="0123456789-:.+TZW,") | st.text())
@settings(database=None)
def test_any_text_is_a_utc_moment_or_a_value_error(text: str) -> None:
    try:
        moment = parse_timestamp(text)
    except ValueError:
        return
    assert moment.utcoffset() == timedelta(0)
