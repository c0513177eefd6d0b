"""The webhook's view under a server that awaits commits itself, and under any other: one answer."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from tests.support.events import webhook
from webhook_app.web.receive.deferral import BUDGET, DEFER, NOT_IN_SQL, Deferral

URL = "/webhooks/proof"


def test_deferred_answer_is_the_one_that_is_waited_for(client: FlaskClient) -> None:
    body = webhook(type="swap")
    deferrals: list[Deferral] = []
    unfinished = client.post(URL, json=body, environ_overrides={BUDGET: 5.0, DEFER: deferrals})
    (deferral,) = deferrals
    status, content = deferral.finish(deferral.answer.result(20))
    finished = json.loads(content)
    assert (status, finished["duplicate"]) == (202, False)

    waited = client.post(URL, json=body)
    assert (waited.status_code, waited.json) == (200, finished | {"duplicate": True})
    assert waited.data == content.replace(b'"duplicate":false', b'"duplicate":true')
    headers, others = (dict(answer.headers) for answer in (unfinished, waited))
    assert headers.keys() == others.keys() - {"Content-Length"}
    assert headers["Content-Type"] == others["Content-Type"]


def test_event_that_sql_did_not_take_goes_to_the_spool_at_once(client: FlaskClient) -> None:
    overrides = {BUDGET: 5.0, DEFER: (deferrals := []), NOT_IN_SQL: "no commit"}
    answer = client.post(URL, json=webhook(), environ_overrides=overrides)
    assert (answer.status_code, answer.json, deferrals) == (202, {"spooled": True, "warnings": []}, [])


def test_refusal_is_not_deferred(client: FlaskClient) -> None:
    deferrals: list[Deferral] = []
    answer = client.post(URL, data=b"{}", environ_overrides={BUDGET: 5.0, DEFER: deferrals})
    assert (answer.status_code, deferrals) == (400, [])


def test_webhooks_have_no_session(client: FlaskClient) -> None:
    client.set_cookie("webhook_app_session", "whatever")
    assert "Vary" not in client.post(URL, json=webhook()).headers
