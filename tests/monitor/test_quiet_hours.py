"""Quiet hours: over midnight, over both changes of the clocks, in any zone; what they kept back is told after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.support.clock import FakeClock
from tests.support.notified import HttpSink
from webhook_app.config import load_settings
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.notices import QuietHours
from webhook_app.services import Services, open_courier
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.register import begin, end

NIGHT = QuietHours(time(22), time(7))
SMALL_HOURS = QuietHours(time(1, 30), time(2, 30))


def quiet_hours(zone: str, quiet: QuietHours, day: datetime) -> list[str]:
    """When they begin and end within two days, in UTC, to the minute."""
    minutes = [day + timedelta(minutes=number) for number in range(48 * 60)]
    states = [quiet.cover(at, ZoneInfo(zone)) for at in minutes]
    return [f"{at:%d %H:%M}" for at, before, now in zip(minutes[1:], states, states[1:], strict=False) if before != now]


@pytest.mark.parametrize(
    ("zone", "quiet", "day", "changes"),
    [
        ("UTC", NIGHT, datetime(2026, 6, 1, 12, tzinfo=UTC), ["01 22:00", "02 07:00", "02 22:00", "03 07:00"]),
        ("UTC", QuietHours(time(9), time(17)), datetime(2026, 6, 1, tzinfo=UTC),
         ["01 09:00", "01 17:00", "02 09:00", "02 17:00"]),
        # The clocks are set forward at 01:00 UTC: that night is an hour shorter.
        ("Europe/Paris", NIGHT, datetime(2026, 3, 28, 12, tzinfo=UTC),
         ["28 21:00", "29 05:00", "29 20:00", "30 05:00"]),
        # And back at 01:00 UTC: an hour longer.
        ("Europe/Paris", NIGHT, datetime(2026, 10, 24, 12, tzinfo=UTC),
         ["24 20:00", "25 06:00", "25 21:00", "26 06:00"]),
        # Half of these hours does not exist in that night: they last from 01:30 to 02:00, which is 03:00.
        ("Europe/Paris", SMALL_HOURS, datetime(2026, 3, 28, 12, tzinfo=UTC),
         ["29 00:30", "29 01:00", "29 23:30", "30 00:30"]),
        # 02:00 to 02:30 comes twice: both are quiet, and what lies between is not.
        ("Europe/Paris", SMALL_HOURS, datetime(2026, 10, 24, 12, tzinfo=UTC),
         ["24 23:30", "25 00:30", "25 01:00", "25 01:30", "26 00:30", "26 01:30"]),
        ("Asia/Kathmandu", NIGHT, datetime(2026, 6, 1, tzinfo=UTC), ["01 01:15", "01 16:15", "02 01:15", "02 16:15"]),
        # Lord Howe sets its clocks by half an hour.
        ("Australia/Lord_Howe", NIGHT, datetime(2026, 4, 4, tzinfo=UTC),
         ["04 11:00", "04 20:30", "05 11:30", "05 20:30"]),
    ],
)  # fmt: skip
def test_quiet_hours_are_those_of_the_clock_on_the_wall(
    zone: str, quiet: QuietHours, day: datetime, changes: list[str]
) -> None:
    assert quiet_hours(zone, quiet, day) == changes


@pytest.mark.parametrize(
    ("text", "longest"), [("22:00-07:00", 10), ("07:00-06:00", 24), ("01:00-02:00", 2), ("00:00-23:00", 24)]
)
def test_longest_night_is_an_hour_longer_than_most(text: str, longest: int) -> None:
    quiet = load_settings({"NOTIFY_QUIET_HOURS": text}).notify_quiet_hours
    assert quiet is not None
    assert quiet.longest == timedelta(hours=longest)


@pytest.fixture
def told() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about hours
@pytest.mark.parametrize(
    ("zone", "quiet", "at"),
    [
        ("UTC", "07:00-06:00", "2026-06-01T07:10"),
        ("UTC", "18:00-09:00", "2026-06-01T18:05"),
        ("Europe/Paris", "18:00-09:00", "2026-10-24T16:05"),
        ("Europe/Paris", "18:00-09:00", "2026-03-28T17:05"),
    ],
)
def test_what_was_over_early_in_long_quiet_hours_is_told_once_after_them(
    services: Services, told: HttpSink, clock: FakeClock, zone: str, quiet: str, at: str
) -> None:
    settings = load_settings({"NOTIFY_QUIET_HOURS": quiet, "NOTIFY_TIME_ZONE": zone})
    ours = replace(
        services.settings,
        notify_quiet_hours=settings.notify_quiet_hours,
        notify_time_zone=settings.notify_time_zone,
        notify_webhook_url=told.url,
        notify_webhook_secret="whsec_" + "QUFB" * 8,
        notify_allow_private=True,
    )
    courier = open_courier(replace(services, settings=ours))
    clock.advance((datetime.fromisoformat(at).replace(tzinfo=UTC) - clock()).total_seconds())
    with services.database.write() as session:
        id = begin(session, Finding(IncidentKind.FAILURE_BURST, "many"), clock() - timedelta(minutes=5))
        assert id is not None
        end(session, id, clock())
    ended_at = clock()
    for _ in range(4 * 27):
        clock.advance(15 * 60)
        courier.step()
    (one,) = told.bodies("/")
    assert one["type"] == "incident.ended"
    assert one["data"]["ended_at"] == f"{ended_at:%Y-%m-%dT%H:%M:%SZ}"
