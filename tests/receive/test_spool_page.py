"""`/spool`: what is set aside, with its reason; the button that sends it round again; who did so, in the audit log."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from tests.support.page_text import EVIL, in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.spool_states import REASON, damage, set_aside, spooled_event
from tests.support.waiting import wait_for
from webhook_app.adapters.spool import SpoolFault
from webhook_app.models import Event
from webhook_app.services import Services
from webhook_app.usecases.audit import AuditFilter, list_entries

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL


def send(client: FlaskClient, **form: str | list[str]) -> TestResponse:
    data = {"csrf_token": csrf_token(client, "/account"), **form}
    return client.post("/spool/retry", data=data, headers=BROWSER)


def audited(services: Services) -> list[tuple[str, str, str, str, object]]:
    entries = list_entries(services.database, AuditFilter(), 10).items
    return [
        (entry.actor, entry.via, entry.action, entry.reason, entry.details["ids"])
        for entry in entries
        if "spooled" in entry.action
    ]


def count_events(services: Services) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0


def test_nothing_set_aside(admin_client: FlaskClient) -> None:
    page = in_words(admin_client.get("/spool").text)
    assert "Nothing is set aside. All that came in is in SQL." in page
    assert "Try all again" not in page


def test_what_waits_and_why_is_told(admin_client: FlaskClient, services: Services) -> None:
    services.spool.append(spooled_event(services, "waits"))
    services.spool.note_fault(SpoolFault(services.clock(), "DiskFull", "the disk is full", stops_all=True))
    page = in_words(admin_client.get("/spool").text)
    assert "Waiting for SQL 1" in page
    assert re.search("Since [^:]+ : the disk is full", page)


def test_each_line_is_shown_with_its_reason_and_escaped(admin_client: FlaskClient, services: Services) -> None:
    (first, second) = set_aside(services, spooled_event(services, "order-1", note=EVIL), "no event", reason=EVIL)
    damage(services)
    services.spool.drain(lambda _: [], services.clock())
    html = admin_client.get("/spool").text
    assert "<img src=x" not in html
    page = in_words(html)
    assert "order-1 completed" in page
    assert EVIL in page
    assert "damaged: the checksum does not fit the line" in page
    assert "ord\\xffer-2" in page
    assert {first, second} < set(html.split('"'))
    assert page.index("damaged") < page.index("order-1"), "newest first"
    assert "3 lines of the spool are set aside" in in_words(admin_client.get("/").text)


def test_selected_line_is_tried_again_with_a_reason_and_audited(admin_client: FlaskClient, services: Services) -> None:
    one, other = set_aside(services, spooled_event(services, "order-1"), spooled_event(services, "order-2"))
    answer = send(admin_client, scope="selected", ids=[one, "unknown"], reason=" the column is wider now ")
    assert (answer.status_code, answer.location) == (303, "/spool")
    page = in_words(admin_client.get("/spool").text)
    assert "1 line is tried again." in page
    assert "order-2" in page
    assert "order-1" not in page
    assert audited(services) == [("ada", "page", "retry_spooled", "the column is wider now", [one])]
    services.intake.start()
    wait_for(lambda: count_events(services) == 1, "it is in SQL")
    assert [one.id for one in services.spool.list_set_aside()] == [other]


def test_all_are_tried_again(admin_client: FlaskClient, services: Services) -> None:
    set_aside(services, *(spooled_event(services, f"order-{number}") for number in range(3)))
    assert send(admin_client, scope="all", reason="mended").status_code == 303
    assert services.spool.depth().set_aside == 0
    assert services.spool.depth().lines == 3


def test_what_is_refused_keeps_what_was_typed_and_ticked(admin_client: FlaskClient, services: Services) -> None:
    one, _ = set_aside(services, spooled_event(services, "a"), spooled_event(services, "b"))
    without_reason = send(admin_client, scope="selected", ids=[one], reason=" ")
    assert without_reason.status_code == 400
    assert "Say why" in without_reason.text
    assert without_reason.text.count(" checked>") == 1
    nothing = send(admin_client, scope="selected", reason='typed "so"')
    assert nothing.status_code == 400
    assert "Nothing was selected" in nothing.text
    assert "typed &#34;so&#34;" in nothing.text
    gone = send(admin_client, scope="selected", ids=["0123456789ab"], reason="why")
    assert gone.status_code == 404
    assert "somebody else was faster" in gone.text
    assert send(admin_client, scope="all", reason="x" * 501).status_code == 400
    assert services.spool.depth().set_aside == 2
    assert audited(services) == []


def test_only_admins_with_a_form_of_this_site_come_in(
    admin_client: FlaskClient, finance_client: FlaskClient, client: FlaskClient, services: Services
) -> None:
    set_aside(services, spooled_event(services, "order-1"))
    assert finance_client.get("/spool").status_code == 403
    assert send(finance_client, scope="all", reason="mine").status_code == 403
    assert client.get("/spool", headers=BROWSER).status_code == 303
    forged = admin_client.post("/spool/retry", data={"scope": "all", "reason": "forged"}, headers=BROWSER)
    assert forged.status_code == 400
    assert admin_client.get("/spool/retry").status_code == 405
    assert services.spool.depth().set_aside == 1
    assert REASON in in_words(admin_client.get("/spool").text)


def test_cause_that_a_former_release_noted_is_told_without_its_class(
    admin_client: FlaskClient, services: Services
) -> None:
    reason = f"(psycopg.errors.StringDataRightTruncation) {REASON}"
    set_aside(services, spooled_event(services, "order-1"), reason=reason)
    words = in_words(admin_client.get("/spool").text)
    assert REASON in words
    assert "psycopg" not in words
