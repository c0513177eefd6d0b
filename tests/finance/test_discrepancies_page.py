"""`/discrepancies`: counted, filtered, acknowledged with a note, opened again; by finance and admins."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.clock import START, FakeClock
from tests.support.page_text import EVIL, ids, in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.rows import confirm, note
from webhook_app.db.database import Database
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.discrepancies import DiscrepancyReport, acknowledge, find_discrepancy
from webhook_app.usecases.reconcile.discrepancies import Finding, note_discrepancies
from webhook_app.web.finance.discrepancy_words import KINDS, detail_words

LIST = "/discrepancies"


def send(client: FlaskClient, path: str, **form: str) -> TestResponse:
    return client.post(
        path,
        data={
            **form,
            "csrf_token": csrf_token(client, "/account" if client.get("/account").status_code == 200 else "/login"),
        },
        headers=BROWSER,
    )


def held(database: Database, discrepancy_id: int) -> DiscrepancyReport:
    found = find_discrepancy(database, discrepancy_id)
    assert found is not None
    return found


def test_each_kind_has_words() -> None:
    assert set(KINDS) == set(DiscrepancyKind)
    for words in KINDS.values():
        assert words.meaning.endswith(".")
        assert words.advice.endswith(".")


def test_detail_has_names_times_and_amounts_as_pages_write_them(app: Flask) -> None:
    narrow, long = "\N{NARROW NO-BREAK SPACE}", "0.123456789012345678"
    cut = f'<span class="cut" title="{long}">0.12345678…</span>'
    assert detail_words(f"reported crypto_amount {long}, but Proof confirms none; currency <b>, but …") == (
        f"Reported crypto amount {cut}, but Proof confirms none; currency &lt;b&gt;, but …"
    )
    with app.app_context():
        told = detail_words(
            f"Proof had confirmed failed of 2026-04-01T12:00:00Z; then fiat_amount 1234.5 became {long}"
        )
    assert f"</time>; then fiat amount 1{narrow}234.5 became {cut}" in told
    assert detail_words("fiat_amount none became 1000") == f"Fiat amount none became 1{narrow}000"
    assert detail_words("") == ""


def test_amounts_of_a_detail_are_cut_wherever_it_stands(finance_client: FlaskClient, database: Database) -> None:
    """What is stored, and the API tells, stays exact."""
    confirm(database, "a")
    detail = "reported fiat_amount 1234567.8912345678, but Proof confirms 1.00"
    found = note(database, "a", "amount_mismatch", detail=detail)
    cut = 'title="1 234 567.8912345678">1 234 567.89123456…</span>, but Proof confirms 1.00'
    for path in (LIST, f"{LIST}/{found}", "/transactions/a"):
        page = finance_client.get(path).text
        assert cut.replace("1 234 567", "1\u202f234\u202f567") in page, path
        assert "1234567.89" not in page, path
    assert held(database, found).detail == detail


def test_list_says_what_where_since_when_and_what_to_do(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    confirm(database, "a", status="completed", fiat_currency="EUR", fiat_amount=Decimal("98.50"))
    note(database, "a", "terminal_changed", detail="fiat_amount 100.00 became 98.50")
    note(database, "b", "unknown_to_proof")
    clock.advance(1200)
    words = in_words(finance_client.get(LIST).text)
    for shown in (
        "All 2 Critical 1 Warning 1 Info",
        "Fiat amount 100.00 became 98.50",
        "98.50 EUR",
        "Book nothing and pay nothing out.",
        "20 min ago",
        "not confirmed",
    ):
        assert shown in words


def test_filters(finance_client: FlaskClient, database: Database, clock: FakeClock) -> None:
    assert "Nothing is open." in finance_client.get(LIST).text
    old = note(database, "a", "stale_answer", detected_at=START - timedelta(days=9))
    note(database, "b", "stale_answer")
    note(database, "c", "impossible_step", acknowledged_at=START, acknowledged_by="ada", note="seen")
    note(database, "d", "impossible_step", resolved_at=START)
    for query, found in [
        ("", ["b", "a"]),
        ("kind=stale_answer", ["b", "a"]),
        ("kind=impossible_step", []),
        ("state=acknowledged", ["c"]),
        ("state=resolved", ["d"]),
        ("state=all", ["d", "c", "b", "a"]),
        ("merchant_transaction_id=a", ["a"]),
        ("severity=info", ["b", "a"]),
        ("severity=critical", []),
        ("opened_to=2026-03-30", ["a"]),
        ("opened_from=2026-03-30", ["b"]),
    ]:
        page = finance_client.get(f"{LIST}?{query}")
        assert page.status_code == 200
        assert ids(page.text) == found, query
    assert "Proof's API answered with an older state" in in_words(finance_client.get(f"{LIST}?kind=stale_answer").text)
    assert ids(finance_client.get(f"{LIST}/{old}").text) == ["a"]


def test_filter_that_makes_no_sense_is_a_400_that_names_the_field(
    finance_client: FlaskClient, database: Database
) -> None:
    note(database, "a", "stale_answer")
    for query, name in [
        ("kind=odd", "Kind"),
        ("state=closed", "State"),
        ("merchant_transaction_id=%00", "Transaction id"),
        ("opened_from=yesterday", "Opened from"),
        ("opened_to=2026-13-01", "Opened before"),
        ("opened_from=2026-04-02&opened_to=2026-04-01", "Opened from"),
        ("kind=stale_answer&kind=stale_answer", "Kind"),
        ("age=9", "age"),
    ]:
        page = finance_client.get(f"{LIST}?{query}")
        assert page.status_code == 400, query
        assert name in in_words(page.text).partition("makes no sense")[2], query
        assert ids(page.text) == [], query
    for name in ("kind", "state", "merchant_transaction_id", "opened_from", "opened_to", "cursor", EVIL):
        page = finance_client.get(LIST, query_string={name: EVIL})
        assert page.status_code == (200 if name == "merchant_transaction_id" else 400), name
        assert "<img src=x" not in page.text
    assert finance_client.get(f"{LIST}?cursor=MQ.forged").status_code == 400
    for number in (0, 99, 2**63, 10**30):
        assert finance_client.get(f"{LIST}/{number}").status_code == 404


def test_pages_follow_each_other(finance_client: FlaskClient, database: Database) -> None:
    for number in range(52):
        note(database, f"a{number}", "stale_answer")
    first = finance_client.get(f"{LIST}?kind=stale_answer").text
    link = first.rpartition('" rel="next"')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert len(ids(first)) == 50
    assert ids(finance_client.get(link).text) == ["a1", "a0"]


def test_acknowledged_with_a_note_by_a_person_and_reopened(
    finance_client: FlaskClient, admin_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    found = note(database, "a", "amount_mismatch")
    back = f"{LIST}?kind=amount_mismatch"
    answer = send(finance_client, f"{LIST}/{found}/acknowledge", note=" asked\r\nProof ", revision="1", back=back)
    assert (answer.status_code, answer.location) == (303, back)
    assert "Acknowledged: “Reported amount differs” of a." in finance_client.get(back).text
    seen = held(database, found)
    assert (seen.state, seen.note, seen.acknowledged_by) == ("acknowledged", "asked\nProof", "fin")
    audit = in_words(admin_client.get("/audit").text)
    assert "acknowledge a discrepancy" in audit
    answer = send(admin_client, f"{LIST}/{found}/reopen", reason="not yet", back="https://evil.example/")
    assert (answer.status_code, answer.location) == (303, "/")
    assert held(database, found).state == "open"
    assert "reopen a discrepancy" in in_words(admin_client.get("/audit").text)
    with database.write() as session:
        note_discrepancies(session, [Finding("a", DiscrepancyKind.AMOUNT_MISMATCH, "", "another")], START)
    assert held(database, found).state == "open"


def test_refusal_keeps_what_was_typed(finance_client: FlaskClient, database: Database) -> None:
    found = note(database, "a", "amount_mismatch", revision=2)
    path, back = f"{LIST}/{found}/acknowledge", f"{LIST}?kind=amount_mismatch"
    for form, status, says in [
        ({"note": f"typed {EVIL}", "revision": "1"}, 409, "It has changed meanwhile, and now says: reported x"),
        ({"note": "typed", "revision": ""}, 400, "This form was incomplete"),
        ({"note": "typed", "revision": EVIL}, 400, "This form was incomplete"),
        ({"note": " ", "revision": "2"}, 400, "Say in 1 to 500 characters what was found"),
        ({"note": "typed" * 101, "revision": "2"}, 400, "Say in 1 to 500 characters"),
    ]:
        answer = send(finance_client, path, back=back, **form)
        assert answer.status_code == status, form
        assert says in in_words(answer.text), form
        assert form["note"].strip() in in_words(answer.text) or form["note"] == " ", form
        assert "<img src=x" not in answer.text
        assert f'name="back" value="{back}"' in answer.text
        assert 'name="revision" value="2"' in answer.text
    assert held(database, found).state == "open"
    acknowledge(database, found, "I was faster", Actor("ada", "page"), START)
    answer = send(finance_client, path, note="typed too late", revision="2", back=back)
    assert answer.status_code == 409
    assert "ada has acknowledged it already" in in_words(answer.text)
    assert "You had written: “typed too late”" in in_words(answer.text)
    answer = send(finance_client, f"{LIST}/{found}/reopen", reason="", back=back)
    assert answer.status_code == 400
    assert send(finance_client, f"{LIST}/{found}/reopen", reason="why", back=back).status_code == 303
    again = send(finance_client, f"{LIST}/{found}/reopen", reason="why not", back=back)
    assert again.status_code == 409
    assert "It is open, not acknowledged." in in_words(again.text)
    assert send(finance_client, f"{LIST}/999/acknowledge", note="x", revision="1").status_code == 404


def test_form_without_its_token_changes_nothing(
    client: FlaskClient, finance_client: FlaskClient, database: Database
) -> None:
    found = note(database, "a", "amount_mismatch")
    form = {"note": "forged", "revision": "1"}
    assert finance_client.post(f"{LIST}/{found}/acknowledge", data=form, headers=BROWSER).status_code == 400
    assert send(client, f"{LIST}/{found}/acknowledge", **form).status_code == 303
    assert held(database, found).state == "open"


def test_several_are_acknowledged_at_once_as_they_were_seen(
    finance_client: FlaskClient, admin_client: FlaskClient, database: Database
) -> None:
    found = [note(database, name, "stale_answer") for name in "abc"]
    with database.write() as session:
        note_discrepancies(session, [Finding("b", DiscrepancyKind.STALE_ANSWER, "", "another")], START)
    page = finance_client.get(LIST).text
    assert f'value="{found[0]}:1"' in page
    path, back = f"{LIST}/acknowledge", f"{LIST}?severity=info"

    def order(*seen: str, text: str = "asked Proof") -> str:
        form = {"seen": list(seen), "note": text, "back": back, "csrf_token": csrf_token(finance_client, "/account")}
        answer = finance_client.post(path, data=form, headers=BROWSER)
        assert (answer.status_code, answer.location) == (303, back)
        return in_words(finance_client.get(back).text)

    assert "tick what you have looked at" in order()
    assert "tick what you have looked at" in order(EVIL, "1", f"{10**30}:1")
    assert "say in 1 to 500 characters" in order(f"{found[0]}:1", text=" ")
    told = order(f"{found[0]}:1", f"{found[1]}:1", "999:1")
    assert "Acknowledged: 1." in told
    assert f"Discrepancy {found[1]} is not acknowledged. It has changed meanwhile" in told
    assert "Discrepancy 999 is not acknowledged. There is no discrepancy 999." in told
    assert [held(database, one).state for one in found] == ["acknowledged", "open", "open"]
    assert in_words(admin_client.get("/audit").text).count("acknowledged a discrepancy") == 1
    assert finance_client.post(path, data={"seen": f"{found[1]}:1", "note": "x"}, headers=BROWSER).status_code == 400


def test_owner_is_a_person_who_can_be_filtered_by(
    finance_client: FlaskClient, admin_client: FlaskClient, as_finance: dict[str, str], database: Database
) -> None:
    found = note(database, "a", "stale_answer")
    note(database, "b", "stale_answer")
    for owner, says in [("fin", "fin looks into it"), ("nobody-there", "There is no account"), ("ada", "ada looks")]:
        assert send(finance_client, f"{LIST}/{found}/assign", owner=owner, back=LIST).status_code == 303
        assert says in in_words(finance_client.get(LIST).text), owner
    assert ids(finance_client.get(f"{LIST}?owner=ada").text) == ["a"]
    audit = in_words(admin_client.get("/audit?action=assign").text)
    assert "fin took over a discrepancy of a" in audit
    assert "fin gave a discrepancy of a to ada" in audit
    answer = finance_client.post(f"/api/v1{LIST}/{found}/assign", json={"owner": None}, headers=as_finance)
    assert answer.json is not None
    assert answer.json["owner"] is None
    assert "test put back a discrepancy of a" in in_words(admin_client.get("/audit?action=assign").text)
    told = admin_client.get("/audit?action=assign").text
    assert send(finance_client, f"{LIST}/{found}/assign", owner="", back=LIST).status_code == 303
    assert in_words(admin_client.get("/audit?action=assign").text) == in_words(told)  # nobody had it already
    assert (
        finance_client.post(f"/api/v1{LIST}/999/assign", json={"owner": "fin"}, headers=as_finance).status_code == 404
    )
