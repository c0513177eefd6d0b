"""What OpenTelemetry is told to do. Imported only where TRACING is on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine

from webhook_app.tracing import Span
from webhook_app.tracing.outbox import OWN, Outbox

#: Seconds that the end of a process waits for what is not sent yet.
_LAST_CALL = 2.0
#: What is asked for every few seconds and tells nothing.
_UNTRACED = "/healthz$,/readyz$,/metrics$,/static/"

_W3C = TraceContextTextMapPropagator()


class Tracer:
    """Address, headers, sampler and batches are those of the standard variables, OTEL_…."""

    def __init__(self, release: str, process: str) -> None:
        ours = {SERVICE_NAME: f"webhook-app-{process}", SERVICE_VERSION: release}
        # What the variables say of us goes before what we say.
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(Outbox())
        trace.set_tracer_provider(self._provider)
        propagate.set_global_textmap(_Silence())
        self._tracer = self._provider.get_tracer("webhook_app", release)
        # Which versions they know lags behind those that there are; a test holds that they work with ours.
        URLLib3Instrumentor().instrument(
            skip_dep_check=True, url_filter=_without_path, captured_response_headers=["X-Request-Id"]
        )
        RedisInstrumentor().instrument(skip_dep_check=True)

    def trace_engine(self, engine: Engine) -> None:
        usage = metrics.get_meter("webhook_app").create_up_down_counter("db.client.connections.usage")
        EngineTracer(self._tracer, engine, usage)  # type: ignore[no-untyped-call]  # OpenTelemetry has not typed it

    def trace_application(self, app: Flask) -> None:
        FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]  # nor this
            app, excluded_urls=_UNTRACED, enable_commenter=False
        )

    def current_traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    @contextmanager
    def span(self, name: str, traceparents: Sequence[str], details: Mapping[str, str | int | None]) -> Iterator[Span]:
        others = [_read(one) for one in dict.fromkeys(traceparents)]
        others = [one for one in others if one.is_valid]
        parent = None
        if others and not trace.get_current_span().get_span_context().is_valid:
            parent = trace.set_span_in_context(trace.NonRecordingSpan(others.pop(0)))
        links = [trace.Link(one) for one in others]
        with self._tracer.start_as_current_span(name, parent, links=links) as made:
            noted = _Noted(made)
            noted.note(**details)
            yield noted

    def flush(self) -> None:
        """Waits no longer than a process's end may."""
        thread = threading.Thread(target=self._provider.force_flush, name="traces", daemon=True)
        thread.start()
        thread.join(_LAST_CALL)


class _Silence(TextMapPropagator):
    """Over HTTP no trace goes on: a sender's traceparent is not believed, and Proof is sent none."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        return context or Context()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        pass

    @property
    def fields(self) -> set[str]:
        return set()


class _Noted(Span):
    def __init__(self, made: trace.Span) -> None:
        self._made = made

    def note(self, **details: str | int | None) -> None:
        for name, value in details.items():
            if value is not None:
                self._made.set_attribute(OWN + name, value)


def _read(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_W3C.extract({"traceparent": traceparent})).get_span_context()


def _without_path(url: str) -> str:
    """The path may be a secret, as that of Slack's webhooks is."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
