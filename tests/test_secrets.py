"""What must stay secret, marked, sent through everything, and looked for everywhere: logs, tables, Redis and pages.

An e-mail address and fields that nobody asked for may stand in the body of an event, which is kept as evidence, and on
the page that shows that body to admins; nowhere else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from sqlalchemy import LargeBinary, MetaData, select

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.people import log_in
from tests.support.work import work_once
from webhook_app.app import create_app
from webhook_app.config import describe_settings
from webhook_app.db.database import Database
from webhook_app.logs import configure_logging
from webhook_app.models.role import Role
from webhook_app.services import Services, open_reconciler
from webhook_app.usecases.access.tokens import create_token
from workers.clock import run_once
from workers.measurer import measure

URL_SECRET = "marked-url-secret-7f3a"
WRONG_URL_SECRET = "marked-wrong-url-secret-7f3a"
CLIENT_TOKEN = "marked-client-token-7f3a"
WRONG_API_TOKEN = "marked-wrong-api-token-7f3a"
WRONG_PASSWORD = "marked-password-7f3a"
EMAIL = "marked.person.7f3a@example.test"
FIELD = "marked-field-7f3a"

#: A body is evidence.
EVIDENCE = (
    "table events.body",
    "table receipts.body",
    "table rejections.body",
    "page /deliveries/",
    "page /rejections",
)

#: Each with where it may stand, as the name of what was looked at begins.
SECRETS: dict[str, tuple[str, ...]] = {
    URL_SECRET: (),
    WRONG_URL_SECRET: (),
    CLIENT_TOKEN: (),
    WRONG_API_TOKEN: (),
    WRONG_PASSWORD: (),
    EMAIL: EVIDENCE,
    FIELD: EVIDENCE,
}

PAGES = ("/", "/deliveries", "/deliveries/1", "/transactions", "/transactions/told", "/discrepancies", "/rejections")
MORE_PAGES = ("/spool", "/drift", "/audit", "/tokens", "/replays", "/rq/", "/metrics", "/readyz", "/account")


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("json", "debug", "test", stream)
    return stream


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about what is written, not about how
def test_nothing_secret_is_in_a_log_an_error_a_job_a_key_a_table_or_a_page(
    services: Services,
    database: Database,
    clock: FakeClock,
    log: io.StringIO,
    admin_client: FlaskClient,
) -> None:
    settings = replace(
        services.settings, webhook_secrets=(URL_SECRET,), proof_client_tokens=(CLIENT_TOKEN, "test-token")
    )
    services = replace(services, settings=settings)
    client = create_app(services).test_client()
    api_token = create_token(database, "robot", Role.ADMIN, clock())
    answers = list(use_everything(services, client, api_token, clock))
    found = {"log": log.getvalue(), "answers": "\n".join(answers), "redis": redis_content(services)}
    found |= {f"table {name}": content for name, content in table_contents(database)}
    for page in (*PAGES, *MORE_PAGES):
        answer = admin_client.get(page)
        assert answer.status_code in (200, 404, 503), (page, answer.status_code)
        found[f"page {page}"] = answer.text
    given = {"PROOF_CLIENT_TOKEN": CLIENT_TOKEN, "PROOF_WEBHOOK_SECRETS": URL_SECRET}
    found["doctor"] = str(describe_settings(given))
    secrets = {**SECRETS, api_token: ()}
    leaks = [
        (secret, where)
        for secret, allowed in secrets.items()
        for where, content in found.items()
        if secret in content and not where.startswith(allowed or ("nowhere",))
    ]
    assert leaks == []
    assert len(log.getvalue().splitlines()) > 10
    assert EMAIL in found["table events.body"], "or nothing was sent"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about what is written, not about how
def test_request_that_even_its_error_handler_fails_on_tells_no_address(services: Services, log: io.StringIO) -> None:
    app = create_app(services)

    @app.after_request
    def fail(_response: Response) -> Response:
        raise LookupError("a hook of ours")

    assert app.test_client().get(f"/webhooks/proof/{URL_SECRET}").status_code == 500
    assert "a hook of ours" in log.getvalue()
    assert URL_SECRET not in log.getvalue()


def use_everything(services: Services, client: FlaskClient, api_token: str, clock: FakeClock) -> Iterator[str]:
    """The bodies of all answers."""
    told = webhook(merchant_transaction_id="told", user_email=EMAIL, internal={"note": FIELD})
    address = f"/webhooks/proof/{URL_SECRET}"
    for body in (told, told, {**told, "status": "unheard_of", "merchant_transaction_id": "odd"}):
        yield client.post(address, json=body).text
    yield client.post(address, data=f'{{"user_email": "{EMAIL}", '.encode()).text
    yield client.post(address, json={"user_email": EMAIL, "merchant_transaction_id": 7}).text
    yield client.post(f"/webhooks/proof/{WRONG_URL_SECRET}", json=told).text
    yield client.get(f"/webhooks/proof/{URL_SECRET}").text
    yield client.put(f"/webhooks/proof/{URL_SECRET}/more", json=told).text
    for token in (api_token, WRONG_API_TOKEN):
        for path in ("/api/v1/transactions", "/api/v1/deliveries", "/api/v1/transactions/told", "/metrics"):
            yield client.get(path, headers={"Authorization": f"Bearer {token}"}).text
    yield log_in(client, "ada", WRONG_PASSWORD).text
    reconciler = open_reconciler(services, threads=2)
    try:
        for _ in range(3):
            run_once(services)
            work_once(reconciler, clock())
            clock.advance(30)
    finally:
        reconciler.proof.close()
    measure(services)
    services.rejections.flush()
    services.drift.flush()
    services.totals.flush()


def redis_content(services: Services) -> str:
    redis: Any = services.queues.redis
    return "\n".join(f"{key!r} {redis.dump(key)!r}" for key in redis.keys("*"))


def table_contents(database: Database) -> Iterator[tuple[str, str]]:
    """Each column of each table by its name; what is binary is read as text."""
    metadata = MetaData()
    metadata.reflect(database.engine)
    with database.read() as session:
        for table in metadata.sorted_tables:
            for column in table.columns:
                values = session.scalars(select(column)).all()
                is_binary = isinstance(column.type, LargeBinary)
                shown = [bytes(value).decode("utf-8", "replace") if is_binary and value else value for value in values]
                yield f"{table.name}.{column.name}", json.dumps(shown, default=str)
