"""`/audit`: each entry is a sentence with links to what it names; none shows what it is made of."""

from __future__ import annotations

import re
from datetime import timedelta

from flask.testing import FlaskClient

from tests.support.clock import START, FakeClock
from tests.support.page_text import EVIL, in_words
from tests.support.people import PASSWORD
from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account, disable, set_role
from webhook_app.usecases.access.tokens import create_token, revoke_token
from webhook_app.usecases.audit import Actor, record

ADMIN = Actor("admin", "page")
SHELL = Actor("root", "shell")


def write(
    database: Database, action: str, subject: str, reason: str = "", actor: Actor = ADMIN, **details: object
) -> None:
    with database.write() as session:
        record(session, actor, AuditAction(action), subject, reason, details, START - timedelta(minutes=4))


def lines(client: FlaskClient) -> list[str]:
    page = client.get("/audit").text
    found = re.findall(r"<li>\s*<span class=\"log-what\">(.*?)</li>", page, flags=re.S)
    return [in_words(line) for line in found]


def test_entries_are_sentences(admin_client: FlaskClient, database: Database) -> None:
    write(database, "replay", "14 of 14 deliveries", "ticket 4711", filter={"state": "failed"}, replay_id=3)
    write(database, "replay", "13 of 14 deliveries", "again", ids=[1, 2], replay_id=4)
    write(database, "replay", "0 of 0 deliveries", "late", filter={"error": "not_found"}, replay_id=None)
    write(database, "replay", "1400 of 1500 deliveries", "more", ids=[1, 2], replay_id=6, transactions=1100)
    write(database, "replay", "order-1", "requeued", Actor("ada", "rq"), replay_id=5)
    write(database, "cancel_replay", "replay 3", "cancelled", replay_id=3, not_released=1)
    write(database, "acknowledge", "order-2", "seen", discrepancy=7, kind="stale_answer", detail="it was odd")
    write(database, "retry_spooled", "1 line of the spool", "wider now", ids=["abc"])
    told = lines(admin_client)[::-1]
    assert told[:2] == [
        "tester made the account ada with the role admin in a shell · just now",
        "ada logged in from 127.0.0.1 · just now",
    ]
    assert told[2:] == [
        "admin replayed 14 deliveries with state failed · 4 min ago · ticket 4711",
        "admin replayed 13 of 14 deliveries · 4 min ago · again",
        "admin ordered a replay, but nothing was to be replayed with error not_found · 4 min ago · late",
        "admin replayed 1 100 payments (1 400 of 1 500 deliveries) · 4 min ago · more",
        "ada replayed order-1 in replay 5 through RQ · 4 min ago · requeued",
        "admin cancelled replay 3 ; 1 transaction stayed failed · 4 min ago · cancelled",
        "admin acknowledged a discrepancy of order-2 : it was odd · 4 min ago · seen",
        "admin tried again 1 line of the spool · 4 min ago · wider now",
    ]
    page = admin_client.get("/audit").text
    for path in ("/replays/3", "/replays/5", "/transactions/order-1", "/discrepancies/7", "/spool", "/audit?actor=ada"):
        assert f'href="{path}"' in page, path


def test_what_was_done_to_accounts_and_tokens(admin_client: FlaskClient, database: Database, clock: FakeClock) -> None:
    create_account(database, "fin", PASSWORD, Role.FINANCE, SHELL, clock())
    set_role(database, "fin", Role.ADMIN, SHELL, clock())
    disable(database, "fin", SHELL, clock())
    create_token(database, "ledger", Role.FINANCE, clock(), SHELL, expires_at=clock() + timedelta(days=1))
    revoke_token(database, "ledger", SHELL, clock())
    write(database, "change_account", "admin", changed="password")
    write(database, "change_account", "fin", "", SHELL, changed="password")
    write(database, "end_session", "admin", sessions=2)
    write(database, "log_in", "admin", address="203.0.113.7")
    told = [line.partition(" ·")[0] for line in lines(admin_client)]
    for sentence in (
        "root made the account fin with the role finance in a shell",
        "root gave fin the role admin in a shell",
        "root disabled the account fin in a shell",
        "root made the API token ledger with the role finance, good until 2 Apr 2026 12:00:00 in a shell",
        "root revoked the API token ledger in a shell",
        "admin changed their own password",
        "root set a password for fin in a shell",
        "admin ended 2 sessions of their own",
        "admin logged in from 203.0.113.7",
    ):
        assert sentence in told, (sentence, told)


def test_no_entry_shows_what_it_is_made_of_or_runs(admin_client: FlaskClient, database: Database) -> None:
    for action in AuditAction:
        write(database, action, EVIL, EVIL)  # an entry of an older release may lack every detail
        write(database, action, "x", "y", replay_id=1, filter={"state": EVIL}, detail=EVIL, role=EVIL, ids=[1])
    page = admin_client.get("/audit")
    assert page.status_code == 200
    assert len(lines(admin_client)) == 2 * len(AuditAction) + 2
    assert EVIL not in page.text
    for raw in ("{", "['", "None", "&#39;state&#39;", "replay_id", "not_released"):
        assert raw not in in_words(page.text), raw


def test_log_is_narrowed_by_who_and_what(admin_client: FlaskClient, database: Database) -> None:
    write(database, "acknowledge", "order", "seen", Actor("ada", "page"), discrepancy=1)
    for number in range(60):
        write(database, "acknowledge", f"order-{number}", "seen", discrepancy=number)
    page = admin_client.get("/audit?actor=admin&action=acknowledge").text
    assert "Did what: acknowledge a discrepancy" in in_words(page)
    assert 'href="/audit?actor=admin"' in page, "the × takes one away"
    assert len(lines(admin_client)) == 50
    older = re.search(r'href="(/audit[?][^"]*cursor=[^"]*)" rel="next"', page)
    assert older
    assert admin_client.get(older[1].replace("&amp;", "&")).text.count('class="log-what"') == 10


def test_each_action_can_be_chosen(admin_client: FlaskClient) -> None:
    page = admin_client.get("/audit").text
    assert all(f"/audit?action={action}" in page for action in AuditAction)


def test_filter_that_makes_no_sense_is_told_of(admin_client: FlaskClient) -> None:
    for query, sentence in (
        ("action=gone", "Did what: Must be one of"),
        ("actor=%00", "Who: Must be 1 to 128 characters"),
        ("actr=ada", "There is no filter actr"),
        ("actor=a&actor=b", "Who: Given more than once"),
        ("cursor=x", "cut or changed"),
    ):
        page = admin_client.get(f"/audit?{query}")
        assert page.status_code == 400, query
        assert sentence in in_words(page.text), query
