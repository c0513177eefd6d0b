"""Traces to OpenTelemetry, where TRACING is on; else nothing of it is imported, and each function here does nothing.

The trace of a webhook goes on in the worker: its event keeps the traceparent (W3C Trace Context) among its headers, and
what works on it names that as its parent. Where it works on many at once the first is the parent, the others are links.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine

    from webhook_app.tracing.tracer import Tracer

#: The name of the header, as events keep it.
TRACEPARENT = "Traceparent"

_tracer: Tracer | None = None


class TracingMissing(Exception):
    """The libraries are not installed; the message says what to do."""


def start_tracing(is_on: bool, release: str, process: str) -> None:
    """Once in each process; children that are forked go on by themselves. Raises TracingMissing."""
    global _tracer
    if not is_on:
        return
    try:
        from webhook_app.tracing.tracer import Tracer
    except ImportError:
        raise TracingMissing(
            "TRACING is on, but OpenTelemetry is not installed: `pip install webhook-app[tracing]`, or turn it off."
        ) from None
    _tracer = Tracer(release, process)


def is_tracing() -> bool:
    return _tracer is not None


def trace_engine(engine: Engine) -> None:
    if _tracer:
        _tracer.trace_engine(engine)


def trace_application(app: Flask) -> None:
    """To be called before the application has hooks of its own."""
    if _tracer:
        _tracer.trace_application(app)


def current_traceparent() -> str | None:
    """Of what is under way in this thread; None where nothing is traced."""
    return _tracer.current_traceparent() if _tracer else None


class Span:
    """Something that is done, with begin and end. Where nothing is traced, it keeps nothing."""

    def note(self, **details: str | int | None) -> None:
        """Details that may leave this host: ids and counts."""


def span(name: str, traceparents: Sequence[str] = (), **details: str | int | None) -> AbstractContextManager[Span]:
    """What is done within the block. The first of `traceparents` is its parent, unless one is under way; all others are
    linked."""
    return _tracer.span(name, traceparents, details) if _tracer else _NOTHING


_NOTHING = nullcontext(Span())


def flush_traces() -> None:
    """Sends what waits, for a process that ends without ceremony."""
    if _tracer:
        _tracer.flush()
