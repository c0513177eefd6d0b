"""Timestamps: ISO 8601 in, aware UTC inside, ISO 8601 with Z out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp, read_timestamp

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


# As Proof may write it


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-01T10:03:45Z", MOMENT),
        ("2026-04-01 10:03:45Z", MOMENT),
        ("2026-04-01  10:03:45", MOMENT),
        ("2026-04-01t10:03:45z", MOMENT),
        (" 2026-04-01T10:03:45Z ", MOMENT),
        ("2026-04-01 12:03:45 +02:00", MOMENT),
        ("2026-04-01 10:03:45 Z", MOMENT),
        ("2026-04-01 04:33:45-0530", MOMENT),
        ("2026-04-01T10:03:44.999+00:00", MOMENT - timedelta(milliseconds=1)),
        ("2026-04-01T10:02:60Z", MOMENT.replace(second=0)),
        ("2026-04-01 10:02:60.5z", MOMENT.replace(second=0, microsecond=500_000)),
        ("20260401T100260Z", MOMENT.replace(second=0)),
        ("2026-06-30T23:59:60Z", datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-07-01T01:59:60+02:00", datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-06-30T23:59:60", datetime(2026, 7, 1, tzinfo=UTC)),
    ],
)
def test_form_that_cannot_be_misread_is_taken(text: str, moment: datetime) -> None:
    assert read_timestamp(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        *("2026-04-01T10:03:61Z", "2026-04-01T10:60:00Z", "2026-04-01T1060Z", "9999-12-31T23:59:60Z", "2026-04-01"),
        *("01/04/2026 10:03:45", "04-01-2026T10:03:45Z", "2026-04-01 10:03:45 PM", "2026-04-01T10:03:45 CET", "T", ""),
        *("1775037600", 1775037600, 1775037600.0, True, None, [], "2026-04-01T10:03:45Z\0", "2026-04-01\n10:03:45Z"),
        *("２０２６-04-01 10:03:45Z", "2026-04-01T10:03:６0Z", " " * 65, "2026-04-01T10:03:60" + " " * 60),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_form_that_could_be_misread_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        read_timestamp(value)


_MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1000 <= moment.year < 9999)
_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    moment=_MOMENTS,
    offset=_OFFSETS,
    blank=st.sampled_from(["T", "t", " "]),
    around=st.sampled_from(["", " "]),
)
@settings(database=None)
def test_every_form_of_a_moment_is_read_as_that_moment(
    moment: datetime, offset: timezone, blank: str, around: str
) -> None:
    written = moment.astimezone(offset).isoformat(sep=blank)
    assert read_timestamp(f"{around}{written}{around}") == moment
    in_utc = moment.isoformat(sep=blank).replace("+00:00", "z")
    assert read_timestamp(in_utc) == moment


@given(_MOMENTS, st.integers(0, 999_999))
@settings(database=None)
def test_sixtieth_second_is_the_first_of_the_next_minute(moment: datetime, microsecond: int) -> None:
    written = f"{moment:%Y-%m-%dT%H:%M}:60.{microsecond:06}Z"
    expected = moment.replace(second=0, microsecond=microsecond) + timedelta(minutes=1)
    assert read_timestamp(written) == expected


@given(st.text(alphabet="0123456789-:.+TZtz W,6") | st.text())
@settings(database=None)
def test_any_text_of_proofs_is_a_utc_moment_or_a_value_error(text: str) -> None:
    try:
        moment = read_timestamp(text)
    except ValueError:
        return
    assert moment.utcoffset() == timedelta(0)


@given(st.datetimes(timezones=st.just(UTC)))
@settings(database=None)
def test_what_is_read_strictly_is_read_alike(moment: datetime) -> None:
    written = format_timestamp(moment)
    assert read_timestamp(written) == parse_timestamp(written)
