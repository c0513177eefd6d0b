"""Traces: a webhook's goes on through the worker to the call to Proof; nothing secret leaves; off, it costs nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.events import webhook
from tests.support.live_server import LiveServer
from tests.support.python_processes import run_python
from tests.support.sandbox import Sandbox
from tests.support.stack import stack_environment
from webhook_app.domain.status import Status
from webhook_app.tracing import TracingMissing, current_traceparent, is_tracing, span, start_tracing

SECRET = "marked-secret-of-the-url"


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    links: tuple[bytes, ...]
    """Traces."""
    attributes: dict[str, Any]


class Collector:
    """Where OTLP over HTTP arrives."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.bytes = b""
        self.app = Flask("collector", static_folder=None)
        self.app.add_url_rule("/v1/traces", view_func=self._take, methods=["POST"])

    def _take(self) -> Response:
        body = request.get_data()
        self.bytes += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_read(service, one) for one in scope.spans]
        return Response(b"", mimetype="application/x-protobuf")

    def named(self, name: str) -> list[Seen]:
        return [one for one in self.spans if one.name == name]


def _read(service: str, one: Any) -> Seen:
    values = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in one.attributes}
    links = tuple(link.trace_id for link in one.links)
    return Seen(service, one.name, one.trace_id, one.span_id, one.parent_span_id, links, values)


@pytest.fixture
def collector() -> Iterator[tuple[str, Collector]]:
    made, server = Collector(), LiveServer()
    with server.serving(made.app):
        yield server.url, made
    server.stop()


#: As `webhook-app web`: the application is made before the process that serves it is forked.
WEB = """
import json, os, sys
from opentelemetry import trace
from werkzeug.test import EnvironBuilder
from webhook_app.app import create_app
from webhook_app.commands.start import start_service
from webhook_app.services import open_services
from webhook_app.web.receive.fast_path import FastPath
from webhook_app.web.requests import REQUEST_ID
services = open_services(start_service("web"))
client, fast_path = create_app(services).test_client(), FastPath(services)
path, told = "/webhooks/proof/" + sys.argv[1], json.loads(sys.argv[2])
if os.fork() == 0:
    forged = {"Traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    request = EnvironBuilder(path, method="POST", query_string="q=marked-query", headers=forged).get_environ()
    deferral = fast_path.take({**request, REQUEST_ID: "r-1"}, json.dumps(told).encode())
    print(deferral.finish(deferral.answer.result(10))[0])
    print(client.post("/webhooks/proof/marked-wrong-secret", json=told).status_code)
    print(client.get("/webhooks/proof/marked-path/marked-more").status_code)
    trace.get_tracer_provider().force_flush()  # `close` waits two seconds, which is little for a busy machine
    services.close()
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""

WORKER = """
from opentelemetry import trace
from webhook_app.commands.start import start_service
from workers.context import flush_context
from workers.jobs import reconcile_due
start_service("worker")
print(reconcile_due())
trace.get_tracer_provider().force_flush()
flush_context()
"""


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about what leaves, not about where it lies
def test_trace_of_a_webhook_goes_on_to_the_call_to_proof_and_carries_its_request_id(
    collector: tuple[str, Collector], database_url: str, redis_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    endpoint, seen = collector
    known = sandbox.control.create(status=Status.COMPLETED)
    told = webhook(merchant_transaction_id=known, user_email="marked-person@example.test")
    env = stack_environment(
        tmp_path,
        **{"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "SECRET_KEY": "a secret key for tests alone"},
        **{"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PROOF_WEBHOOK_SECRETS": SECRET},
        **{"PROOF_API_URL": sandbox.url, "PROOF_CLIENT_TOKEN": "test-token"},
    )
    for script, said in ((WEB, "202 404 404"), (WORKER, "1")):
        done = run_python("-c", script, SECRET, json.dumps(told), env=env, timeout=100)
        assert done.stdout.split() == said.split(), done.stderr
        assert "Traceback" not in done.stderr
    (received,) = seen.named("webhook")
    assert [one.attributes["http.status_code"] for one in seen.named("POST /webhooks/proof/<secret>")] == [404]
    of_trace = [one for one in seen.spans if one.trace == received.trace]
    assert received.trace != bytes.fromhex("ab" * 16), "a stranger decides no trace"
    (asked,) = [one for one in of_trace if one.name == "ask Proof"]
    assert (received.service, asked.service) == ("webhook-app-web", "webhook-app-worker")
    assert asked.parent == received.id
    assert asked.attributes["webhook_app.transaction"] == known
    (call,) = sandbox.control.calls(known)
    assert asked.attributes["webhook_app.proof_request_id"] == call.request_id
    (job,) = seen.named("job reconcile_due")
    assert asked.links == (job.trace,) != (received.trace,)
    for name in ("commit events", "apply answers"):
        (done_for_it,) = [one for one in of_trace if one.name == name]
        statements = [one for one in of_trace if one.parent == done_for_it.id]
        assert any("INSERT" in one.attributes["db.statement"] for one in statements), name
    assert b"marked" not in seen.bytes


OFF = """
import sys
from webhook_app.commands.start import start_process
from webhook_app.app import create_app
import workers.jobs
start_process("web")
of_others = ("google", "opentelemetry.exporter", "opentelemetry.instrumentation", "opentelemetry.sdk.trace")
# redis-py itself imports what measures, where that is installed.
print([name for name in sys.modules if name.startswith((*of_others, "webhook_app.tracing."))])
"""


def test_off_nothing_of_it_is_imported_and_each_call_does_nothing(tmp_path: Path) -> None:
    env = stack_environment(tmp_path)
    done = run_python("-c", OFF, env=env)
    assert done.stdout.strip() == "[]", done.stderr
    assert not is_tracing()
    assert current_traceparent() is None
    assert span("one") is span("another", ["00-x"], id="x"), "no object is made"


def test_without_the_libraries_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webhook_app.tracing.tracer", None)
    with pytest.raises(TracingMissing, match=r"pip install webhook-app\[tracing\]"):
        start_tracing(True, "1", "web")
