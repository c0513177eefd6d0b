"""Notifications: one for each change of an incident, to each recipient, over real SMTP and HTTP; whatever fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.clock import FakeClock
from tests.support.free_ports import free_ports
from tests.support.notified import HttpSink, MailSink
from tests.support.people import post
from webhook_app.adapters.senders.mail import MailSender
from webhook_app.adapters.senders.sender import NotSent, post_json
from webhook_app.cli import cli
from webhook_app.config import ConfigurationError, load_settings
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Limits, pause, resume
from webhook_app.domain.networks import is_private
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.severity import Severity
from webhook_app.models import AuditEntry, Notification
from webhook_app.services import Services, open_courier, open_lookout, open_senders
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat
from webhook_app.usecases.notifications.courier import Courier
from webhook_app.usecases.notifications.trial import send_test
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate

#: With its key, for `localhost`.
CERTIFICATE = str(Path(__file__).parents[1] / "data" / "localhost.pem")

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
TOKEN = Failure(401, "unauthorised", "invalid_token", "no", "r-401")
OUTAGE = Failure(503, "upstream_unavailable", "upstream_unavailable", "down", "r-503")
ALL = {"/hook", "/slack", "/teams", "/pagerduty"}


@pytest.fixture(scope="module")
def mails() -> Iterator[MailSink]:
    with MailSink().running() as sink:
        yield sink


@pytest.fixture(scope="module")
def http() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


@pytest.fixture
def notifying(services: Services, mails: MailSink, http: HttpSink) -> Services:
    """Everybody is notified, here."""
    mails.messages.clear()
    http.requests.clear()
    http.status = 204
    settings = replace(
        services.settings,
        notify_webhook_url=f"{http.url}/hook",
        notify_webhook_secret=SECRET,
        notify_slack_url=f"{http.url}/slack",
        notify_teams_url=f"{http.url}/teams",
        notify_pagerduty_key="0123456789abcdef",
        notify_pagerduty_url=f"{http.url}/pagerduty",
        notify_smtp_url=mails.url,
        notify_mail_from="alerts@example.com",
        notify_mail_to=("a@example.com", "b@example.com"),
        notify_kinds=("proof_paused", "sql_away", "clock_silent"),
        notify_heartbeat_url=f"{http.url}/alive",
        notify_allow_private=True,
    )
    return replace(services, settings=settings)


@pytest.fixture
def run(notifying: Services, clock: FakeClock) -> Run:
    return Run(notifying, clock)


class Run:
    """The lookout and the courier of the clock."""

    def __init__(self, services: Services, clock: FakeClock, **settings: Any) -> None:
        self.services = replace(services, settings=replace(services.settings, **settings))
        self.clock = clock
        self.lookout = open_lookout(self.services)
        self.courier = open_courier(self.services)

    def on(self, seconds: float) -> int:
        """Time passes; returns how many notifications arrived."""
        self.clock.advance(seconds)
        beat(self.services.database, CLOCK, self.clock())
        beat(self.services.database, WEB, self.clock())
        self.lookout.step()
        return self.courier.step()

    def pause(self, blame: Blame, failure: Failure) -> None:
        with self.services.database.write() as session:
            store_gate(session, pause(lock_gate(session), blame, failure, self.clock(), self.clock(), Limits()))

    def resume(self) -> None:
        with self.services.database.write() as session:
            store_gate(session, resume(lock_gate(session), self.clock()))


def test_begin_and_end_are_told_once_to_everybody(run: Run, mails: MailSink, http: HttpSink, clock: FakeClock) -> None:
    run.pause(Blame.CONFIGURATION, TOKEN)
    assert run.on(5) == 0, "it must last a minute"
    assert run.on(56) == 5
    assert [run.on(5) for _ in range(5)] == [0] * 5, "one for a change, not one for a look"
    run.resume()
    assert run.on(5) == 5
    assert [run.on(60) for _ in range(3)] == [0] * 3
    begun, ended = mails.messages
    assert (begun["Subject"], begun["To"]) == ("Calls to Proof are paused (critical)", "a@example.com, b@example.com")
    assert ended["Subject"] == "Over: Calls to Proof are paused (it lasted 2 min)"
    assert ended["References"] == begun["Message-ID"], "mail programs show them together"
    assert "401 unauthorised/invalid_token" in begun.get_payload()
    assert {path for path, _, _ in http.requests} == ALL
    assert [one["type"] for one in http.bodies("/hook")] == ["incident.begun", "incident.ended"]
    assert [one["data"]["state"] for one in http.bodies("/hook")] == ["open", "resolved"]
    trigger, resolve = http.bodies("/pagerduty")
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert http.bodies("/slack")[0]["text"].startswith("*Calls to Proof are paused (critical)*")
    (attachment,) = http.bodies("/teams")[0]["attachments"]
    assert attachment["content"]["type"] == "AdaptiveCard"
    _, headers, body = next(one for one in http.requests if one[0] == "/hook")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_what_does_not_last_and_what_is_not_wanted_is_told_to_nobody(run: Run, mails: MailSink) -> None:
    run.pause(Blame.PROOF, OUTAGE)
    run.on(5)
    run.resume()
    assert run.on(5) == run.on(60) == 0
    critical_alone = Run(run.services, run.clock, notify_severity="critical")
    critical_alone.pause(Blame.PROOF, OUTAGE)
    assert [critical_alone.on(100) for _ in range(3)] == [0] * 3
    assert mails.messages == []


def test_reminders_come_at_their_distance(run: Run, mails: MailSink) -> None:
    run.pause(Blame.CONFIGURATION, TOKEN)
    for _ in range(9):
        run.on(3600)
    assert [one["Subject"].partition(":")[0] for one in mails.messages] == [
        *("Calls to Proof are paused (critical)", "Still", "Still")
    ]


def test_in_quiet_hours_only_what_is_critical_wakes_and_the_rest_is_told_in_the_morning(
    notifying: Services, mails: MailSink, clock: FakeClock
) -> None:
    quiet = load_settings({"NOTIFY_QUIET_HOURS": "22:00-07:00"}).notify_quiet_hours
    clock.advance(11 * 3600)  # 23:00
    run = Run(notifying, clock, notify_quiet_hours=quiet)
    run.pause(Blame.PROOF, OUTAGE)
    assert [run.on(600) for _ in range(3)] == [0] * 3
    run.resume()
    assert run.on(60) == run.on(60) == 0
    run.pause(Blame.CONFIGURATION, TOKEN)
    assert run.on(100) == run.on(5) + 5, "this one needs a person"
    run.resume()
    run.on(60)
    mails.messages.clear()
    assert run.on(8 * 3600) == 5, "one word in the morning"
    assert [one["Subject"] for one in mails.messages] == ["Over: Calls to Proof are paused (it lasted 31 min)"]
    assert run.on(3600) == 0


def test_recipient_that_refuses_is_tried_again_stops_no_other_and_is_shown(
    run: Run, http: HttpSink, mails: MailSink, admin_client: FlaskClient
) -> None:
    http.status = 503
    run.pause(Blame.CONFIGURATION, TOKEN)
    run.on(5)
    assert run.on(60) == 1, "the mail"
    with run.services.database.read() as session:
        errors = dict(session.execute(select(Notification.recipient, Notification.error)).all())
    assert errors == {"mail": None, **dict.fromkeys(("webhook", "slack", "teams", "pagerduty"), "HTTP 503")}
    assert run.on(2) == 0, "not at once"
    http.status = 200
    run.resume()
    assert run.on(60) == 5, "four that begin, and the mail of the end; an end is not told before its begin"
    assert run.on(5) == 4
    assert [one["event_action"] for one in http.bodies("/pagerduty")] == ["trigger", "trigger", "resolve"]
    assert len({headers["webhook-id"] for path, headers, _ in http.requests if path == "/hook"}) == 2
    assert len(mails.messages) == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a file that is away is away at once
def test_while_sql_is_away_it_is_told_out_of_the_data_folder_by_one_process(
    notifying: Services, mails: MailSink, clock: FakeClock, tmp_path: Path
) -> None:
    beat(notifying.database, CLOCK, clock())
    away = replace(notifying, database=Database(f"sqlite:///{tmp_path}"))
    looks = [open_lookout(away), open_lookout(away, is_web=True)]
    couriers = [open_courier(away), open_courier(away, is_web=True)]
    arrived = []
    for _ in range(4):
        clock.advance(30)
        for look in looks:
            look.step()
        arrived += [courier.step() for courier in couriers]
    assert sorted(arrived) == [0] * 7 + [5]
    run = Run(notifying, clock)
    run.on(5)
    run.on(60)
    assert [one["Subject"] for one in mails.messages] == [
        "SQL is away (critical)",
        "Over: SQL is away (it lasted 2 min)",
    ]


def test_web_tells_that_the_clock_is_silent_and_nothing_else(
    notifying: Services, mails: MailSink, http: HttpSink, clock: FakeClock
) -> None:
    look, courier = open_lookout(notifying, is_web=True), open_courier(notifying, is_web=True)
    for _ in range(10):
        beat(notifying.database, CLOCK, clock())
        clock.advance(10)
        look.step()
        assert courier.step() == 0
    for _ in range(8):
        clock.advance(10)
        look.step()
        courier.step()
    assert [one["Subject"] for one in mails.messages] == ["The clock is silent (critical)"]


def test_heartbeat_goes_out_while_the_clock_lives(notifying: Services, http: HttpSink, clock: FakeClock) -> None:
    beat(notifying.database, CLOCK, clock())
    open_courier(notifying).beat_outwards()
    assert [path for path, _, _ in http.requests] == ["/alive"]
    clock.advance(60)
    courier: Courier = open_courier(notifying)
    courier.beat_outwards()
    assert len(http.requests) == 1, "the clock is silent"


def test_mail_goes_over_starttls_with_a_log_in_and_only_to_whom_is_trusted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    notice = Notice(
        *("n-1", "t-1", clock(), Change.BEGUN, "sql_away", "SQL is away", Severity.CRITICAL),
        *("It does not answer.", "Bring it back.", clock(), None, "0 s", ""),
    )
    with MailSink(tls).running() as sink:
        address = sink.url.replace("//127.0.0.1", "//proof%40user:{}@127.0.0.1")
        right = MailSender(address.format("right%20%40%20password"), "a@c.example", ("b@c.example",))
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            right.send(notice)
        monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
        right.send(notice)
        with pytest.raises(NotSent, match="SMTP 535") as refused:
            MailSender(address.format("marked"), "a@c.example", ("b@c.example",)).send(notice)
    assert "marked" not in str(refused.value)
    assert len(sink.messages) == 1
    assert set(sink.log_ins) == {("proof@user", "right @ password"), ("proof@user", "marked")}


def test_test_goes_to_everybody_and_stands_in_the_audit_log(
    notifying: Services, mails: MailSink, http: HttpSink, clock: FakeClock
) -> None:
    http.status = 500
    results = send_test(notifying.database, open_senders(notifying.settings), Actor("ada", "page"), clock())
    assert results == {"mail": None, **dict.fromkeys(("webhook", "slack", "teams", "pagerduty"), "HTTP 500")}
    assert mails.messages[0]["Subject"] == "Test: notifications of webhook-app arrive"
    with notifying.database.read() as session:
        assert session.scalars(select(AuditEntry.subject)).all() == ["mail, webhook, slack, teams, pagerduty"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_page_offers_a_test_to_admins_and_says_that_nobody_is_notified(
    admin_client: FlaskClient, finance_client: FlaskClient
) -> None:
    page = admin_client.get("/incidents").text
    assert "Nobody: incidents are shown here alone." in page
    assert "Who is notified" not in finance_client.get("/incidents").text
    assert post(admin_client, "/incidents/test").status_code == 303
    assert "Nobody is to be notified" in admin_client.get("/incidents").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_command_sends_a_test_and_says_what_became_of_it(
    database_url: str, redis_url: str, http: HttpSink, mails: MailSink, tmp_path: Path
) -> None:
    mails.messages.clear()
    environ = {
        "DATABASE_URL": database_url,
        "NOTIFY_SMTP_URL": mails.url,
        "NOTIFY_MAIL_FROM": "alerts@example.com",
        "NOTIFY_MAIL_TO": "a@example.com",
        "NOTIFY_SLACK_URL": f"http://127.0.0.1:{free_ports(1)[0]}/x",
        "NOTIFY_ALLOW_PRIVATE": "true",
        "WEBHOOK_APP_DATA_DIR": str(tmp_path),
    }
    result = CliRunner().invoke(cli, ["notify", "--test"], env=environ)
    assert result.exit_code == 1
    assert "mail: sent" in result.output
    assert "slack: not sent: Connection refused" in result.output
    assert len(mails.messages) == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.1.2.3", "[::1]", "[fe80::1]", "169.254.169.254", "[::ffff:10.0.0.1]"]
)
def test_private_addresses_are_refused_at_the_start(host: str) -> None:
    with pytest.raises(ConfigurationError, match="NOTIFY_SLACK_URL leads to this host or to a private network"):
        load_settings({"NOTIFY_SLACK_URL": f"http://{host}/x"})
    load_settings({"NOTIFY_SLACK_URL": f"http://{host}/x", "NOTIFY_ALLOW_PRIVATE": "true"})


def test_private_address_behind_a_name_is_refused_when_it_is_sent_to(http: HttpSink) -> None:
    before = len(http.requests)
    with pytest.raises(NotSent, match="private network"):
        post_json(http.url.replace("127.0.0.1", "localhost"), {}, may_be_private=False)
    assert len(http.requests) == before


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("8.8.8.8", False),
        ("64:ff9b::a00:1", True),
        ("64:ff9b::808:808", False),
        ("64:ff9b:1::808:808", True),
        ("2002:a00:1::", True),
        ("::127.0.0.1", True),
        ("::8.8.8.8", False),
        ("::1", True),
        ("::", True),
        ("x", True),
    ],
)
def test_private_is_what_nobody_else_can_reach(address: str, *, told: bool) -> None:
    assert is_private(address) is told


@pytest.mark.parametrize("missing", ["NOTIFY_WEBHOOK_SECRET", "NOTIFY_MAIL_TO"])
def test_half_a_configuration_stops_the_start(missing: str) -> None:
    whole = {
        "NOTIFY_WEBHOOK_URL": "https://example.com/x",
        "NOTIFY_WEBHOOK_SECRET": SECRET,
        "NOTIFY_SMTP_URL": "smtp://relay",
        "NOTIFY_MAIL_FROM": "a@example.com",
        "NOTIFY_MAIL_TO": "b@example.com",
    }
    load_settings(whole)
    del whole[missing]
    with pytest.raises(ConfigurationError, match="belong together"):
        load_settings(whole)
