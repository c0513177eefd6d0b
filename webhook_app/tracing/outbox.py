"""The one door by which spans leave. What is not known to be harmless stays here: addresses, which have the webhooks'
secret in them, senders, and what exceptions say, which may be what was stored."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status

#: How the names of our own attributes begin.
OWN = "webhook_app."

_HARMLESS = frozenset(
    (
        *("http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code"),
        *("http.response.header.x_request_id", "error.type"),
        *("db.system", "db.system.name", "db.name", "db.namespace", "db.operation", "db.operation.name"),
        *("db.statement", "db.query.text"),  # with placeholders, never with values
    )
)
#: Of calls that we make: the host alone is left of it.
_HARMLESS_OF_OURS = _HARMLESS | {"http.url", "url.full"}


class Outbox(SpanProcessor):
    """Sends in the background, by OTLP over HTTP. The thread for that begins with a process's first span: who forks has
    no other thread before that, and a child begins with one of its own."""

    def __init__(self) -> None:
        self._batches: BatchSpanProcessor | None = None
        self._pid = 0
        self._guard = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        with self._guard:  # the first spans of two threads may end at once
            if self._batches is None or self._pid != os.getpid():
                self._batches, self._pid = BatchSpanProcessor(_Discreet()), os.getpid()
        self._batches.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        if self._batches is None or self._pid != os.getpid():
            return True
        return self._batches.force_flush(timeout_millis)


class _Discreet(SpanExporter):
    """OTLP, of what may leave. Statements and commands outside of any work, such as the clock's looks, do not."""

    def __init__(self) -> None:
        self._sent = OTLPSpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        leaving = [_cleaned(span) for span in spans if span.parent or span.kind is not SpanKind.CLIENT]
        return self._sent.export(leaving) if leaving else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._sent.shutdown()  # type: ignore[no-untyped-call]  # OpenTelemetry has not typed it


def _cleaned(span: ReadableSpan) -> ReadableSpan:
    harmless = _HARMLESS_OF_OURS if span.kind is SpanKind.CLIENT else _HARMLESS
    attributes = {
        name: value for name, value in (span.attributes or {}).items() if name in harmless or name.startswith(OWN)
    }
    events = [
        Event(one.name, {"exception.type": str((one.attributes or {}).get("exception.type", ""))}, one.timestamp)
        for one in span.events
    ]
    return ReadableSpan(
        name=_name_of_request(span) if span.kind is SpanKind.SERVER else span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _name_of_request(span: ReadableSpan) -> str:
    """By its route: OpenTelemetry names what has none by its path."""
    attributes = span.attributes or {}
    method = attributes.get("http.method") or attributes.get("http.request.method") or "HTTP"
    return f"{method} {attributes.get('http.route', '')}".strip()
