"""The pages: forms, what they show, and that nothing a user typed becomes markup."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import pytest

from tests.support.waiting import wait_for
from webhook_app.sandbox.faults import FAULTS
from webhook_app.sandbox.pages import EACH_KIND

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
EVIL = "<script>alert('x')</script>\"'"


def _post(caller, path, **form):
    return caller.send(
        "POST",
        path,
        body=urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": caller.sandbox.url},
    )


def _text(answer):
    return answer.data.decode()


def _session(caller, **fields):
    form = {
        "type": "buy",
        "amount": "100",
        "coin": "USDT/TRC20",
        "fiat_currency": "EUR",
        "partner_user_id": "user-123",
        "outcome": "manual",
    }
    return _post(caller, "/", **{**form, **fields})


def test_home_shows_the_example_and_how_to_connect(sandbox, caller):
    page = _text(caller.send("GET", "/"))
    assert EXAMPLE_ID in page
    assert sandbox.url in page
    assert "sandbox-token" in page


def test_other_tokens_and_the_webhook_secret_are_not_shown(sandbox, caller):
    sandbox.control.configure(tokens=["hidden-token"], webhook_url="http://u:hidden-password@127.0.0.1:9/hidden-path")
    page = _text(caller.send("GET", "/"))
    assert "127.0.0.1:9" in page
    assert "hidden" not in page


def test_a_session_is_opened_and_led_through_by_hand(sandbox, caller):
    answer = _session(caller)
    assert answer.status == 303
    path = answer.headers["Location"]
    page = _text(caller.send("GET", path))
    assert all(button in page for button in (">Pay<", ">Fail<", ">Cancel<"))
    assert ">Retry in widget<" not in page
    assert _post(caller, f"{path}/act", action="fail").status == 303
    assert ">Retry in widget<" in _text(caller.send("GET", path))
    assert _post(caller, f"{path}/act", action="retry").status == 303
    wait_for(lambda: "Nothing follows" in _text(caller.send("GET", f"/live{path}")))
    refused = _post(caller, f"{path}/act", action="pay")
    assert refused.status == 409
    assert "Too late" in _text(refused)
    history = sandbox.control.transaction(path.rpartition("/")[2]).history
    assert [change.status.value for change in history] == ["pending", "failed", "processing", "completed"]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "swap"},
        {"amount": "lots"},
        {"amount": "0"},
        {"coin": "DOGE/DOGE"},
        {"fiat_currency": "XXX"},
        {"partner_user_id": "  "},
        {"outcome": "won"},
    ],
)
def test_a_wrong_form_says_so_and_keeps_the_rest(sandbox, caller, fields):
    answer = _session(caller, **{"partner_user_id": "somebody", **fields})
    assert answer.status == 400
    assert 'role="alert"' in _text(answer)
    assert "partner_user_id" in fields or "somebody" in _text(answer)
    assert sandbox.control.counters().transactions == 1


def test_what_users_type_is_escaped(sandbox, caller):
    path = _session(caller, partner_user_id=EVIL).headers["Location"]
    pages = [
        caller.send("GET", "/"),
        caller.send("GET", path),
        _session(caller, partner_user_id=EVIL, amount=EVIL),
        _post(caller, f"{path}/faults", name=EVIL, count="1"),
        caller.send("GET", "/transactions/" + EVIL.replace(" ", "%20").replace("<", "%3C")),
    ]
    assert [page.status for page in pages] == [200, 200, 400, 400, 404]
    assert all("<script>" not in _text(page) for page in pages)
    assert all("default-src 'self'" in page.headers["Content-Security-Policy"] for page in pages)


def test_an_unknown_page_says_so_in_our_words(caller):
    answer = caller.send("GET", "/nothing-here")
    assert answer.status == 404
    assert "The sandbox has no such page or route." in _text(answer)


def test_a_fault_is_injected_and_taken_away(caller):
    path = f"/transactions/{EXAMPLE_ID}"
    page = _text(caller.send("GET", path))
    assert all(f'value="{name}"' in page for name in FAULTS)
    assert _post(caller, f"{path}/faults", name="provider_error", count="3").status == 303
    assert caller.get(EXAMPLE_ID).status == 502
    assert re.search(r"provider_error</code> × 2", _text(caller.send("GET", path)))
    assert _post(caller, f"{path}/faults/clear").status == 303
    assert caller.get(EXAMPLE_ID).status == 200
    assert _post(caller, f"{path}/faults", name="provider_error", count="many").status == 400


def test_webhooks_are_shown_and_sent_again(sandbox, caller, receiver):
    path = f"/transactions/{EXAMPLE_ID}"
    assert _post(caller, f"{path}/webhook").status == 409
    sandbox.control.configure(webhook_url=receiver.url)
    assert _post(caller, f"{path}/webhook").status == 303
    sandbox.control.wait_until_still()
    assert [body["status"] for body in receiver.bodies] == ["completed"]
    assert ">202<" in _text(caller.send("GET", path))


def test_pages_of_payments(sandbox, caller):
    sandbox.control.create_many(45)
    assert "page 1 of 3" in _text(caller.send("GET", "/"))
    assert EXAMPLE_ID in _text(caller.send("GET", "/?page=3"))
    assert caller.send("GET", "/?page=-1").status == caller.send("GET", "/live/transactions?page=x").status == 200


def test_the_help_page_lists_every_fault_and_route(caller):
    page = _text(caller.send("GET", "/help"))
    assert all(f"<code>{name}</code>" in page for name in FAULTS)
    assert "POST /sandbox/transactions/&lt;id&gt;/status" in page


def test_every_field_has_a_label_and_nothing_comes_from_elsewhere(caller):
    for path in ("/", f"/transactions/{EXAMPLE_ID}", "/help", "/nowhere"):
        page = _text(caller.send("GET", path))
        assert page.count("<label") == len(re.findall(r'<(?:input|select)(?![^>]*type="hidden")', page))
        assert not re.findall(r'(?:src|href|action)="(?!/)', page)
        assert 'lang="en"' in page
    for asset in ("sandbox.css", "live.js", "icon.svg"):
        assert caller.send("GET", f"/static/{asset}").status == 200


def test_unknown_pages_are_not_found(caller):
    for path in ("/nowhere", "/transactions/unknown", "/live/transactions/unknown"):
        assert caller.send("GET", path).status == 404


def _error(caller):
    """The code of Proof's error to one lookup, None for none."""
    answer = caller.send("GET", f"/widget/transactions/{EXAMPLE_ID}", headers={"Authorization": "Bearer sandbox-token"})
    return None if answer.status == 200 else json.loads(answer.data)["code"]


def test_faults_for_all_are_injected_shown_with_their_values_and_taken_away(caller):
    assert "Nothing: Proof is well." in _text(caller.send("GET", "/faults"))
    for form, code, shown in (
        ({"name": "upstream_unavailable", "span": "seconds", "value": "60"}, "upstream_unavailable", "s more"),
        ({"name": "invalid_token", "span": "always"}, "invalid_token", "all calls, until it is taken away"),
        ({"name": "db_error", "span": "percent", "value": "100"}, "db_error", "all calls, until it is taken away"),
        ({"name": "provider_error", "span": "calls", "value": "2"}, "provider_error", "the next call (lookups)"),
    ):
        assert _post(caller, "/faults", **form).status == 303
        assert _error(caller) == code
        page = _text(caller.send("GET", "/live/faults"))
        assert form["name"] in page
        assert shown in page
        assert _post(caller, "/faults/clear").status == 303
        assert _error(caller) is None
    page = _text(caller.send("GET", "/faults"))
    assert "401 unauthorised/invalid_token · the token is unknown or inactive" in page
    assert "Proof is down for a minute" in page


@pytest.mark.parametrize(
    "form",
    [
        {"name": "nothing", "span": "always"},
        {"name": "db_error", "span": "for ever"},
        {"name": "db_error", "span": "seconds", "value": "soon"},
        {"name": "db_error", "span": "percent", "value": "101"},
        {"name": "db_error", "span": "calls", "value": "0"},
        {"name": EVIL, "span": "calls", "value": EVIL},
    ],
)
def test_a_fault_for_all_that_makes_no_sense_is_refused_in_words(caller, form):
    answer = _post(caller, "/faults", **form)
    assert answer.status == 400
    assert "Not injected." in _text(answer)
    assert EVIL not in _text(answer)
    assert _error(caller) is None


def test_a_payment_of_each_kind_is_started(sandbox, caller):
    before = len(list(sandbox.control.transactions()))
    assert _post(caller, "/each").status == 303
    started = list(sandbox.control.transactions())[before:]
    assert [one.type for one in started].count("sell") == 4
    assert len(started) == len(EACH_KIND) == 8
