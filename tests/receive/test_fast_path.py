"""The fast path: what it takes is answered as by the whole application, and what it does not take leaves nothing."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import EnvironBuilder

from tests.support.events import webhook
from tests.support.rejections import kept_rejections
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.models import Event
from webhook_app.services import Services
from webhook_app.web.receive.deferral import Deferral
from webhook_app.web.receive.fast_path import FastPath
from webhook_app.web.requests import REQUEST_ID

URL = "/webhooks/proof"
SECRET = "the-only-secret"


def taken(services: Services, body: bytes, path: str = URL, **environ: Any) -> Deferral | None:
    """What the fast path makes of such a request."""
    builder = EnvironBuilder(
        path, method="POST", content_type="application/json", environ_overrides={"REMOTE_ADDR": "127.0.0.1"} | environ
    )
    given = builder.get_environ() | {REQUEST_ID: "0" * 32, "wsgi.input": io.BytesIO(body)}
    return FastPath(services).take(given, body)


def configured(services: Services, **variables: str) -> tuple[Services, FlaskClient]:
    read = load_settings(variables)
    settings = replace(
        services.settings,
        webhook_secrets=read.webhook_secrets,
        webhook_allowed_networks=read.webhook_allowed_networks,
        trusted_proxy_hops=read.trusted_proxy_hops,
    )
    services = replace(services, settings=settings)
    return services, create_app(services).test_client()


def count_events(services: Services) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0


@pytest.mark.parametrize("changes", [{}, {"type": "swap", "fiat_amount": "9,9"}, {"status": "odd", "note": "more"}])
def test_what_it_takes_is_answered_as_by_the_whole_application(
    services: Services, client: FlaskClient, changes: dict[str, str]
) -> None:
    body = json.dumps(webhook(**changes)).encode()
    deferral = taken(services, body)
    assert deferral is not None
    status, content = deferral.finish(deferral.answer.result(20))
    assert (status, json.loads(content)["duplicate"]) == (202, False)

    whole = client.post(URL, data=body, content_type="application/json")
    assert (whole.status_code, whole.data) == (200, content.replace(b'"duplicate":false', b'"duplicate":true'))
    with services.database.read() as session:
        event = session.scalars(select(Event)).one()
    assert (event.body, event.remote_addr, event.headers) == (body, "127.0.0.1", {"Content-Type": "application/json"})


def test_sender_is_who_the_proxies_name(services: Services) -> None:
    services, _ = configured(services, PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9", TRUSTED_PROXY_HOPS="1")
    body = json.dumps(webhook()).encode()
    assert taken(services, body) is None
    assert taken(services, body, HTTP_X_FORWARDED_FOR="198.51.100.1") is None
    deferral = taken(services, body, HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert deferral is not None
    deferral.answer.result(20)
    with services.database.read() as session:
        event = session.scalars(select(Event)).one()
    assert (event.remote_addr, event.is_vouched) == ("203.0.113.9", True)


@pytest.mark.parametrize(
    ("path", "changes", "environ"),
    [
        (f"{URL}/wrong", {}, {}),
        (URL, {}, {}),
        (f"{URL}/{SECRET}", {"status": ...}, {}),
        (f"{URL}/{SECRET}", {"merchant_transaction_id": "a b"}, {}),
        (f"{URL}/{SECRET}", {}, {"HTTP_HOST": "a/b"}),
        (f"{URL}/{SECRET}", {}, {"REQUEST_METHOD": "PUT"}),
        (f"{URL}/{SECRET}/", {}, {}),
        ("/webhooks/other", {}, {}),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing is written
def test_what_it_does_not_take_leaves_nothing(
    services: Services, path: str, changes: dict[str, Any], environ: dict[str, str]
) -> None:
    services, _ = configured(services, PROOF_WEBHOOK_SECRETS=SECRET)
    assert taken(services, json.dumps(webhook(**changes)).encode(), path, **environ) is None
    assert (count_events(services), kept_rejections(services)) == (0, [])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"status": "\xff"}', b'{"a":' * 2000])
def test_body_that_is_no_event_is_left_to_the_whole_application(services: Services, body: bytes) -> None:
    assert taken(services, body) is None
    assert (count_events(services), kept_rejections(services)) == (0, [])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nothing_is_taken_while_sql_is_away(services: Services) -> None:
    first = taken(services, json.dumps(webhook(status="failed")).encode())
    assert first is not None
    first.give_up(first.answer, 0.5)
    assert taken(services, json.dumps(webhook()).encode()) is None
