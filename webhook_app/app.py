"""The web application, put together: plain WSGI, whatever serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from webhook_app.config import ConfigurationError
from webhook_app.logs import get_logger
from webhook_app.services import Services
from webhook_app.tracing import trace_application
from webhook_app.web.channels.hints import hints_blueprint
from webhook_app.web.channels.scorecard import scorecard_blueprint
from webhook_app.web.channels.sessions import sessions_blueprint
from webhook_app.web.channels.watches import watches_blueprint
from webhook_app.web.errors import register_error_handlers
from webhook_app.web.finance.discrepancies import discrepancies_blueprint
from webhook_app.web.finance.exports import exports_blueprint
from webhook_app.web.finance.summary import summary_blueprint
from webhook_app.web.finance.transactions import transactions_blueprint
from webhook_app.web.forwarded import believe_proxies
from webhook_app.web.host import register_host_rules
from webhook_app.web.monitor.drift import drift_blueprint
from webhook_app.web.monitor.health import health_blueprint
from webhook_app.web.monitor.incidents import incidents_blueprint
from webhook_app.web.monitor.metrics import metrics_blueprint
from webhook_app.web.monitor.pages.overview import overview_blueprint
from webhook_app.web.monitor.probe import probe_blueprint
from webhook_app.web.openapi.document import DocumentedApi
from webhook_app.web.pages import register_pages
from webhook_app.web.receive.traces import register_traces
from webhook_app.web.receive.webhooks import webhooks_blueprint
from webhook_app.web.redeliver.deliveries import deliveries_blueprint
from webhook_app.web.redeliver.rq import mount_rq_dashboard
from webhook_app.web.requests import bind_services, name_requests
from webhook_app.web.streaming import limit_files

log = get_logger()

#: Bytes; a webhook may have less.
MAX_BODY = 1024 * 1024


class _Application(Flask):
    """Flask, for functions that are no coroutines: it would ask each of them at each request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Of a request that even its error handler could not answer. Flask would tell its path, which may be secret."""
        log.error("a request was not answered", exc_info=exc_info)


def create_app(services: Services) -> Flask:
    """The application over these services. Raises ConfigurationError without a SECRET_KEY."""
    settings = services.settings
    if settings.secret_key is None:
        raise ConfigurationError(
            "SECRET_KEY is not set: set it to at least 16 random characters, the same for every web process. "
            'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    app = _Application(__name__, template_folder="web/templates", static_folder="web/static")
    app.secret_key = settings.secret_key
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it, its base class has not
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    trace_application(app)
    bind_services(app, services)
    name_requests(app)
    believe_proxies(app, settings.trusted_proxy_hops)
    register_host_rules(app)
    register_traces(app)
    limit_files(app)
    app.register_blueprint(webhooks_blueprint)
    app.register_blueprint(health_blueprint)
    app.register_blueprint(metrics_blueprint)
    app.register_blueprint(overview_blueprint)
    api = DocumentedApi(app, settings)
    api.register_blueprint(transactions_blueprint)
    api.register_blueprint(watches_blueprint)
    api.register_blueprint(sessions_blueprint)
    api.register_blueprint(hints_blueprint)
    api.register_blueprint(scorecard_blueprint)
    api.register_blueprint(exports_blueprint)
    api.register_blueprint(summary_blueprint)
    api.register_blueprint(discrepancies_blueprint)
    api.register_blueprint(deliveries_blueprint)
    api.register_blueprint(drift_blueprint)
    api.register_blueprint(probe_blueprint)
    api.register_blueprint(incidents_blueprint)
    register_pages(app, settings)
    mount_rq_dashboard(app, services)
    register_error_handlers(app)
    return app
