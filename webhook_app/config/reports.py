"""What is logged, and where errors and traces are sent."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.config.notify_readers import read_flag
from webhook_app.config.readers import one_of, url
from webhook_app.config.variables import variable


@dataclass(frozen=True)
class ReportSettings:
    log_format: str = variable(
        "auto",
        one_of("auto", "console", "json"),
        "`console` for people, `json` for machines, `auto`: console on a terminal",
    )
    log_level: str = variable(
        "info",
        one_of("debug", "info", "changes", "warning", "error"),
        "least severe level that is logged; `changes`: as `info`, without a line for each payment, as `run` logs on a "
        "terminal where this is unset",
    )
    sentry_dsn: str | None = variable(
        None, url("https", "http"), "where errors are sent (Sentry); needs the extra `sentry`", secret=True
    )
    tracing: bool = variable(
        "false",
        read_flag,
        "whether traces are sent to where OpenTelemetry's own OTEL_… variables say; needs the extra `tracing`",
    )
