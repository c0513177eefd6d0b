"""How a process of the service starts."""

from __future__ import annotations

import os

from webhook_app import __version__
from webhook_app.config import ConfigurationError, Settings, load_settings
from webhook_app.error_reports import ErrorReportsMissing, start_error_reports
from webhook_app.logs import configure_logging
from webhook_app.run.own_files import keep_private
from webhook_app.run.running import with_running
from webhook_app.tracing import TracingMissing, start_tracing


def start_process(name: str) -> Settings:
    """The settings from the environment; log lines are set up and carry `name`. Raises ConfigurationError."""
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level, name)
    try:
        start_error_reports(settings.sentry_dsn, __version__, name)
        start_tracing(settings.tracing, __version__, name)
    except (ErrorReportsMissing, TracingMissing) as problem:
        raise ConfigurationError(str(problem)) from None
    return settings


def start_command(name: str) -> Settings:
    """The same for a command beside the service: what is unset here is found out from a `run` that is under way."""
    settings = load_settings(with_running(os.environ))
    configure_logging(settings.log_format, settings.log_level, name)
    return settings


def start_service(name: str) -> Settings:
    """The same for a process of the service: what it makes in the data folder, and what is there, is for its owner
    alone."""
    settings = start_process(name)
    keep_private(settings.data_dir)
    return settings
