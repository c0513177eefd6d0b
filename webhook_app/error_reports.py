"""Errors to Sentry, where SENTRY_DSN is set and the extra `sentry` is installed; else nothing of it is imported.

What is sent is a log line of level `error` and its traceback: no local variables, no request, no address of a client.
Of an exception's message only the first line goes out, for a driver's other lines hold what was stored.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from webhook_app.domain.text import visible_line

#: Seconds that the end of a process waits for what is not sent yet.
_LAST_CALL = 2.0


class ErrorReportsMissing(Exception):
    """The library is not installed; the message says what to do."""


def start_error_reports(dsn: str | None, release: str, process: str) -> None:
    """Once in each process; children that are forked go on by themselves. Raises ErrorReportsMissing."""
    if dsn is None:
        return
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.dedupe import DedupeIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.integrations.threading import ThreadingIntegration
    except ImportError:
        raise ErrorReportsMissing(
            "SENTRY_DSN is set, but sentry-sdk is not installed: `pip install webhook-app[sentry]`, or unset it."
        ) from None
    sentry_sdk.init(
        dsn,
        release=release,
        # Those of frameworks would send addresses, which have the webhooks' secret in them, and headers.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda _pending, _timeout: None),
        ],
        include_local_variables=False,
        send_default_pii=False,
        max_breadcrumbs=0,
        traces_sample_rate=None,
        shutdown_timeout=_LAST_CALL,
        before_send=_prepare,
    )
    sentry_sdk.set_tag("process", process)


def flush_error_reports() -> None:
    """Sends what waits, for a process that ends without ceremony; nothing where they are off."""
    if library := sys.modules.get("sentry_sdk"):
        library.flush(_LAST_CALL)


def _prepare(event: Any, hint: Mapping[str, Any]) -> Any:
    """Our log lines are dictionaries: their event is the title, their traceback the exception, the rest beside it."""
    from sentry_sdk import get_client
    from sentry_sdk.utils import event_from_exception

    record = hint.get("log_record")
    line = record.msg if record is not None and isinstance(record.msg, dict) else None
    if line is not None:
        details = {name: visible_line(str(value)) for name, value in line.items() if name not in _OWN}
        event["logentry"] = {"message": str(line.get("event", "")), "params": []}
        event["extra"] = details
        error = line.get("exc_info")
        error = error[1] if isinstance(error, tuple) else error
        if isinstance(error, BaseException):
            made, _ = event_from_exception(error, client_options=get_client().options)
            event["exception"] = made["exception"]
    for one in (event.get("exception") or {}).get("values", ()):
        one["value"] = visible_line((str(one.get("value") or "").splitlines() or [""])[0])
    return event


_OWN = frozenset({"event", "level", "timestamp", "exc_info", "exception", "stack_info"})
