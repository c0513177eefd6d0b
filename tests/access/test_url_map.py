"""Every route, asked by everybody, with every method: who may do what is declared here, and looking changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.failures import fail
from tests.support.people import csrf_token
from webhook_app.adapters.rq_jobs import job_id
from webhook_app.db.database import Database
from webhook_app.models.declarative import Base
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it does not test SQL

ANYBODY = {"nobody", "finance token", "service token", "admin token", "finance session", "admin session"}
PEOPLE = {"finance session", "admin session"}
ADMIN_PAGE = {"admin session"}
READERS = {"finance token", "admin token"}
ADMIN_API = {"admin token"}
PARTNERS = {"service token", "admin token"}

#: Who may use each endpoint; `blueprint.*` stands for all of one.
WHO: Mapping[str, set[str]] = {
    "static": ANYBODY,
    "bootstrap.static": ANYBODY,
    "webhooks.receive": ANYBODY,  # whoever knows the address; secret and network are told apart elsewhere
    "health.healthz": ANYBODY,
    "health.readyz": ANYBODY,
    "metrics.show": ANYBODY,  # on the loopback; elsewhere a token of any role (tests/monitor/test_metrics.py)
    "api-docs.openapi_json": ANYBODY,
    "docs.*": ANYBODY,
    "people.log_in": ANYBODY,
    "people.log_out": ANYBODY,  # who is not logged in is shown the log-in
    "account.*": PEOPLE,
    "search.*": PEOPLE,
    "overview.*": PEOPLE,
    "incidents_page.show": PEOPLE,
    "incidents_page.send_test_to_all": ADMIN_PAGE,
    "scorecard_page.*": PEOPLE,
    "transaction_pages.*": PEOPLE,
    "transaction_page.*": PEOPLE,
    "transaction_totals.*": PEOPLE,
    "transaction_strip.*": PEOPLE,
    "saved_views.*": PEOPLE,
    "transaction_files.*": PEOPLE,
    "discrepancy_pages.*": PEOPLE,
    "discrepancy_sheet.*": PEOPLE,
    "audit.*": ADMIN_PAGE,
    "tokens.*": ADMIN_PAGE,
    "delivery_pages.*": ADMIN_PAGE,
    "replays.*": ADMIN_PAGE,
    "rejections.*": ADMIN_PAGE,
    "spool.*": ADMIN_PAGE,
    "drift_page.*": ADMIN_PAGE,
    "probe_page.*": ADMIN_PAGE,
    "rq_dashboard.*": ADMIN_PAGE,
    "transactions.*": READERS,
    "exports.*": READERS,
    "summary.*": READERS,
    "discrepancies.*": READERS,
    "deliveries.*": ADMIN_API,
    "drift.*": ADMIN_API,
    "incidents.*": READERS,
    "scorecard.*": READERS,
    "probe.*": ADMIN_API,
    "watches.*": PARTNERS,
    "sessions.*": PARTNERS,
    "hints.*": PARTNERS,
}

#: What stands in a path for each argument.
ARGUMENTS: Mapping[str, object] = {
    "filename": "pages.css",
    "secret": "a-secret",
    "merchant_transaction_id": "walk",
    "event_id": 1,
    "discrepancy_id": 1,
    "drift_id": 1,
    "replay_id": 1,
    "session_id": 999,
    "token_id": 999,
    "view_id": 999,
    "instance_number": 0,
    "queue_name": "retry",
    "registry_name": "failed",
    "per_page": 8,
    "order": "asc",
    "page": 1,
    "job_id": job_id("walk"),
    "name": "swagger-ui.css",
    "format": "csv",
}

#: Methods that no route of ours takes: who asks makes no difference, so two ask.
NEVER = ("PUT", "PATCH", "DELETE", "TRACE")
#: When somebody or something was seen is no state of anything.
SEEN = {"last_used_at", "seen_at"}
#: Nor is the trace that a request under /webhooks/ leaves when it is not taken, nor that it is counted, nor that
#: `/readyz` has tried whether a write is possible.
TRACES = ("rejections", "metric_totals", "heartbeats")


@dataclass
class Asker:
    name: str
    client: FlaskClient
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, method: str) -> TestResponse:
        more: dict[str, Any] = {}
        if method == "POST":
            is_api = path.startswith(("/api/", "/webhooks/"))
            more = {"json": webhook() if "/webhooks/" in path else {}} if is_api else {"data": {}}
        answer = self.client.open(path, method=method, headers=self.headers, **more)
        answer.get_data()
        answer.close()
        return answer


@pytest.fixture
def askers(
    app: Flask, admin_client: FlaskClient, finance_client: FlaskClient, database: Database, clock: FakeClock
) -> list[Asker]:
    client = app.test_client()
    found = [Asker("nobody", client, {"Accept": "text/html", "X-CSRFToken": csrf_token(client)})]
    for role in Role:
        token, program = create_token(database, str(role), role, clock()), app.test_client()
        headers = {"Authorization": f"Bearer {token}", "X-CSRFToken": csrf_token(program), "Accept": "text/html"}
        found.append(Asker(f"{role} token", program, headers))
    for name, session in (("finance session", finance_client), ("admin session", admin_client)):
        headers = {"X-CSRFToken": csrf_token(session, "/account"), "X-Requested-With": "XMLHttpRequest"}
        found.append(Asker(name, session, headers))
    return found


@pytest.fixture
def paths(app: Flask, services: Services, reconciler: Reconciler, clock: FakeClock) -> list[tuple[Rule, str]]:
    """Each rule of the URL map with a path that it matches, over a delivery that failed."""
    fail(services, reconciler, "walk")
    beat(services.database, CLOCK, clock())
    run_once(services)
    # The log-out last: it ends the session of who walks.
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: (rule.endpoint == "people.log_out", rule.rule))
    return [(rule, _PLACE.sub(lambda found: str(ARGUMENTS[found[1]]), rule.rule)) for rule in rules]


#: An argument in a rule, such as `<int:page>`.
_PLACE = re.compile(r"<(?:[a-z]+(?:\([^)]*\))?:)?([a-z_]+)>")


def who_may(endpoint: str) -> set[str]:
    found = WHO.get(endpoint) or WHO.get(f"{endpoint.partition('.')[0]}.*")
    assert found, f"{endpoint} is not declared here: who may use it?"
    return found


def is_refused(answer: TestResponse) -> bool:
    """By who asks, not by what is asked."""
    is_sent_to_log_in = answer.status_code == 303 and answer.headers["Location"].startswith("/login")
    return answer.status_code in (401, 403) or is_sent_to_log_in


def state(services: Services) -> dict[str, Any]:
    """All that SQL and RQ hold."""
    held: dict[str, Any] = {}
    with services.database.read() as session:
        for table in (table for table in Base.metadata.sorted_tables if table.name not in TRACES):
            columns = [column for column in table.columns if column.name not in SEEN]
            held[table.name] = sorted(map(repr, session.execute(select(*columns))))
    redis = services.queues.redis
    return held | {key.decode(): redis.dump(key) for key in redis.keys("rq:*")}


def walk(askers: list[Asker], paths: list[tuple[Rule, str]], method: str) -> Iterator[tuple[Asker, Rule, TestResponse]]:
    for asker in askers:
        for rule, path in paths:
            answer = asker.ask(path, method)
            assert answer.status_code < 500, (asker.name, method, path, answer.status_code)
            yield asker, rule, answer


def test_looking_is_for_those_declared_and_changes_nothing(
    services: Services, askers: list[Asker], paths: list[tuple[Rule, str]]
) -> None:
    before = state(services)
    looked_at = {rule.rule for rule, _ in paths if "GET" in (rule.methods or ())}
    for method in ("GET", "HEAD"):
        for asker, rule, answer in walk(askers, paths, method):
            assert rule.methods is not None
            if answer.status_code == 308:
                continue  # there is a shorter address
            if (rule.rule in looked_at) is not (method in rule.methods):
                continue  # another endpoint of that address takes the method
            if method in rule.methods:
                may = asker.name in who_may(rule.endpoint)
                assert is_refused(answer) is not may, (asker.name, method, rule.rule, answer.status_code)
            else:
                assert answer.status_code == 405 or is_refused(answer), (asker.name, method, rule.rule)
    assert state(services) == before


def test_no_other_method_does_anything(services: Services, askers: list[Asker], paths: list[tuple[Rule, str]]) -> None:
    before = state(services)
    two = [asker for asker in askers if asker.name in ("nobody", "admin session")]
    for method in NEVER:
        for asker, rule, answer in walk(two, paths, method):
            assert answer.status_code == 405, (asker.name, method, rule.rule)
    for asker, rule, answer in walk(two, paths, "OPTIONS"):
        assert answer.status_code in (200, 308, 405) or is_refused(answer), (asker.name, rule.rule)
        assert answer.status_code != 200 or "OPTIONS" in answer.headers["Allow"]
    assert state(services) == before


def test_doing_is_for_those_declared_and_a_refusal_changes_nothing(
    services: Services, askers: list[Asker], paths: list[tuple[Rule, str]]
) -> None:
    doing = [(rule, path) for rule, path in paths if "POST" in (rule.methods or ())]
    for asker in askers:
        refused = [(rule, path) for rule, path in doing if asker.name not in who_may(rule.endpoint)]
        before = state(services)
        for _, rule, answer in walk([asker], refused, "POST"):
            assert is_refused(answer), (asker.name, rule.rule, answer.status_code)
        assert state(services) == before
        allowed = [(rule, path) for rule, path in doing if asker.name in who_may(rule.endpoint)]
        for _, rule, answer in walk([asker], allowed, "POST"):
            is_log_out = rule.endpoint == "people.log_out" and answer.headers.get("Location") == "/login"
            assert is_log_out or not is_refused(answer), (asker.name, rule.rule, answer.status_code)
