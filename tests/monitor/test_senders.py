"""Senders of notices: whatever a recipient does, a notice is over in time, arrives once, and tells no secret."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.support.clock import FakeClock
from tests.support.hostile_server import HostileServer, Line, Request, Script
from tests.support.mail_server import STATES, MailServer
from tests.support.notified import HttpSink, MailSink
from webhook_app.adapters.senders.mail import MailSender
from webhook_app.adapters.senders.sender import NotSent, ask, post_json, send_to_all
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.severity import Severity

PATIENCE = 0.6


@pytest.fixture
def notice(clock: FakeClock) -> Notice:
    return Notice(
        *("n-1", "t-1", clock(), Change.BEGUN, "sql_away", "SQL is away", Severity.CRITICAL),
        *("It does not answer.", "Bring it back.", clock(), None, "0 s", ""),
    )


def mail(url: str, *recipients: str) -> MailSender:
    return MailSender(url, "a@c.example", recipients or ("b@c.example",), PATIENCE)


@pytest.mark.parametrize("fault", ["hang", "drip"])
@pytest.mark.parametrize("state", [state for state in STATES if state != "QUIT"])
def test_mail_server_that_does_not_come_to_an_end_is_left_in_time(notice: Notice, state: str, fault: str) -> None:
    with MailServer(state, fault).running() as server:
        began = time.monotonic()
        with pytest.raises(NotSent, match="did not come to an end in time"):
            mail(server.url).send(notice)
        assert time.monotonic() - began < 5, "as long as it drips, smtplib would wait"
        assert server.mails == 0


@pytest.mark.parametrize("fault", ["hang", "drip", "close", "421"])
def test_mail_that_was_taken_is_sent_whatever_the_server_says_to_the_farewell(notice: Notice, fault: str) -> None:
    with MailServer("QUIT", fault).running() as server:
        mail(server.url).send(notice)
        assert server.mails == 1


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("banner", "SMTP 421"),
        ("MAIL", "SMTP 421"),
        ("RCPT", "SMTP 421: the server takes no mail for any recipient"),
        ("DATA", "SMTP 421"),
        ("body", "SMTP 421"),
    ],
)
def test_mail_server_that_refuses_is_told_by_its_code_and_one_that_closes_too(
    notice: Notice, state: str, told: str
) -> None:
    with MailServer(state, "421").running() as server:
        with pytest.raises(NotSent) as refused:
            mail(server.url).send(notice)
        assert str(refused.value) == told
    with (
        MailServer(state, "close").running() as server,
        pytest.raises(NotSent, match=r"^Connection unexpectedly closed$"),
    ):
        mail(server.url).send(notice)


def test_password_that_no_mail_server_can_be_told_is_no_secret_told(notice: Notice) -> None:
    with MailSink().running() as sink, pytest.raises(NotSent) as refused:
        mail(sink.url.replace("//", "//user:m%C3%A4rked@")).send(notice)
    assert "m\u00e4rked" not in str(refused.value)


def hang(line: Line, _: Request) -> None:
    line.hang()


def drip(line: Line, _: Request) -> None:
    line.drip(b"HTTP/1.1 204 " * 100)


def close(line: Line, _: Request) -> None:
    line.close()


def reset(line: Line, _: Request) -> None:
    line.reset()


def fail(line: Line, _: Request) -> None:
    line.reply(500, b"no")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (hang, "^no answer in time$"),
        (drip, "^no answer in time$"),
        (close, "^Remote end closed connection without response$"),
        (reset, "^Connection reset by peer$"),
        (fail, "HTTP 500"),
    ],
)
def test_http_server_that_does_not_take_it_is_left_in_time(script: Script, told: str) -> None:
    server = HostileServer(script)
    try:
        with pytest.raises(NotSent, match=told):
            ask(f"{server.url}/secret", "POST", b"{}", {}, may_be_private=True, patience=PATIENCE)
    finally:
        server.stop()


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink().running() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_to_a_private_address_or_anywhere_else(sink: HttpSink, status: int) -> None:
    def redirect(line: Line, _: Request) -> None:
        line.reply(status, b"", {"Location": f"{sink.url}/inside"})

    server = HostileServer(redirect)
    try:
        with pytest.raises(NotSent, match=f"HTTP {status}"):
            post_json(server.url, {}, may_be_private=True)
    finally:
        server.stop()
    assert sink.requests == []


def test_name_that_leads_elsewhere_between_the_look_and_the_connection_is_connected_to_where_it_was_looked_at(
    sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: each answer of the name's server is used once, so that what was looked at is what is called."""
    port = int(sink.url.rpartition(":")[2])
    asked: list[str] = []
    answers = iter([["192.0.2.1"], ["127.0.0.1"]])

    def rebinding(host: str, *_: object) -> Sequence[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(NotSent, match="private network"):
        ask(f"http://rebinding.example:{port}/", "GET", None, {}, may_be_private=False, patience=PATIENCE)
    assert asked == ["rebinding.example"], "the name is looked up once for a request"
    with pytest.raises(NotSent, match="private network"):
        ask(f"http://rebinding.example:{port}/", "GET", None, {}, may_be_private=False, patience=PATIENCE)
    assert sink.requests == []


def test_password_in_an_address_is_sent_as_it_is_meant_and_a_slash_at_its_end_is_kept(sink: HttpSink) -> None:
    ask(sink.url.replace("//", "//us%40er:p%2Fw@") + "/x/", "GET", None, {}, may_be_private=True)
    (path, headers, _) = sink.requests[0]
    assert (path, headers["authorization"]) == ("/x/", "Basic dXNAZXI6cC93")
    with pytest.raises(NotSent) as refused:
        ask(sink.url.replace("//", "//us:m\u0142rked@"), "GET", None, {}, may_be_private=True)
    assert "rked" not in str(refused.value)


def test_one_that_hangs_delays_no_other(notice: Notice) -> None:
    with MailServer("banner", "hang").running() as hanging, MailSink().running() as well:
        slow, fast = mail(hanging.url), MailSender(well.url, "a@c.example", ("b@c.example",), name="other")
        results = send_to_all({"mail": slow, "other": fast}, notice)
    assert results["other"] is None
    assert "in time" in (results["mail"] or "")


def test_mail_that_one_of_two_does_not_get_has_arrived(notice: Notice) -> None:
    with MailSink(refuses="gone@").running() as sink:
        mail(sink.url, "b@c.example", "gone@c.example").send(notice)
        with pytest.raises(NotSent, match="SMTP 550: the server takes no mail for any recipient"):
            mail(sink.url, "gone@c.example").send(notice)
    assert len(sink.messages) == 1
