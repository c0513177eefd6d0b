"""Several couriers at once: two web processes and the clock, or two clocks. Whatever they do at the same time, each
recipient is told of each change once; and the heartbeat outwards fails without a word too many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.hostile_server import HostileServer, Line, Request
from tests.support.notified import HttpSink, MailSink
from webhook_app.domain.incidents import IncidentKind
from webhook_app.services import Services, open_courier
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.register import begin, end


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


@pytest.fixture
def mails() -> Iterator[MailSink]:
    with MailSink().running() as sink:
        yield sink


@pytest.fixture
def notifying(services: Services, http: HttpSink, mails: MailSink) -> Services:
    settings = replace(
        services.settings,
        notify_webhook_url=f"{http.url}/hook",
        notify_webhook_secret="whsec_" + "QUFB" * 8,
        notify_slack_url=f"{http.url}/slack",
        notify_smtp_url=mails.url,
        notify_mail_from="a@c.example",
        notify_mail_to=("b@c.example",),
        notify_heartbeat_url=f"{http.url}/alive",
        notify_allow_private=True,
        notify_after=0.0,
    )
    return replace(services, settings=settings)


def at_once(*steps: Callable[[], object]) -> None:
    """All on threads of their own, from the same moment on."""
    gate = threading.Barrier(len(steps))

    def run(step: Callable[[], object]) -> None:
        gate.wait(10)
        step()

    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_two_web_processes_and_two_clocks_tell_each_change_once(
    notifying: Services, http: HttpSink, mails: MailSink, clock: FakeClock
) -> None:
    couriers = [open_courier(notifying, is_web=is_web) for is_web in (True, True, False, False)]
    clock.advance(120)  # the clock gives no sign of life, so that web tells as well
    with notifying.database.write() as session:
        ids = [begin(session, Finding(IncidentKind.DRIFT, "new", str(number)), clock()) for number in range(4)]
    for _ in range(4):
        clock.advance(5)
        at_once(*(courier.step for courier in couriers))
    with notifying.database.write() as session:
        for id in ids:
            end(session, id or 0, clock())
    for _ in range(8):
        clock.advance(5)
        at_once(*(courier.step for courier in couriers))
    told = [(one["data"]["id"], one["type"]) for one in http.bodies("/hook")]
    assert len(told) == len(set(told)) == 8
    assert len(http.bodies("/slack")) == 8
    assert len(mails.messages) == len({one["Message-ID"] for one in mails.messages}) == 8


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about the address
def test_heartbeat_that_fails_is_said_once_and_stops_no_notification(
    notifying: Services, http: HttpSink, clock: FakeClock
) -> None:
    def fail(line: Line, _: Request) -> None:
        line.reply(500, b"")

    server = HostileServer(fail)
    try:
        broken = replace(notifying.settings, notify_heartbeat_url=f"{server.url}/marked")
        couriers = [open_courier(replace(notifying, settings=broken)) for _ in range(1)]
        with notifying.database.write() as session:
            begin(session, Finding(IncidentKind.DRIFT, "new"), clock())
        with capture_logs() as logs:
            for _ in range(3):
                beat(notifying.database, CLOCK, clock())
                for courier in couriers:
                    courier.step()
                    courier.beat_outwards()
                    courier._beat_at = float("-inf")  # a minute later
    finally:
        server.stop()
    said = [line for line in logs if "heartbeat" in line["event"]]
    assert [line["why"] for line in said] == ["HTTP 500"]
    assert "marked" not in str(logs)
    assert len(server.requests) == 3
    assert [one["type"] for one in http.bodies("/hook")] == ["incident.begun"]
