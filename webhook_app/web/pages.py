"""The pages for people: everything that they share, registered in one place; one module per page."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect

from webhook_app import __version__
from webhook_app.config import ConfigurationError, Settings
from webhook_app.domain.text import storable
from webhook_app.web.access.pages.account import account_blueprint
from webhook_app.web.access.pages.audit import audit_blueprint
from webhook_app.web.access.pages.log_in import people_blueprint
from webhook_app.web.access.pages.tokens import tokens_blueprint
from webhook_app.web.access.throttle import register_throttle
from webhook_app.web.channels.pages.scorecard import scorecard_page_blueprint
from webhook_app.web.content_negotiation import is_program_path
from webhook_app.web.errors import ApiError
from webhook_app.web.finance.discrepancy_words import register_discrepancy_words
from webhook_app.web.finance.pages.discrepancies import discrepancy_pages_blueprint
from webhook_app.web.finance.pages.discrepancy_sheet import discrepancy_sheet_blueprint
from webhook_app.web.finance.pages.files import transaction_files_blueprint
from webhook_app.web.finance.pages.saved_views import saved_views_blueprint
from webhook_app.web.finance.pages.strip import transaction_strip_blueprint
from webhook_app.web.finance.pages.totals import transaction_totals_blueprint
from webhook_app.web.finance.pages.transaction import transaction_page_blueprint
from webhook_app.web.finance.pages.transactions import transaction_pages_blueprint
from webhook_app.web.layout.address import url_of, url_with
from webhook_app.web.layout.headers import register_page_headers
from webhook_app.web.layout.navigation import make_menu, proof_sandbox
from webhook_app.web.layout.pieces import register_pieces
from webhook_app.web.layout.template_filters import register_template_filters
from webhook_app.web.monitor.pages.drift import drift_page_blueprint
from webhook_app.web.monitor.pages.incidents import incidents_page_blueprint
from webhook_app.web.monitor.pages.probe import probe_page_blueprint
from webhook_app.web.openapi.page import docs_blueprint
from webhook_app.web.own_site import foreign_site
from webhook_app.web.people import is_signed_on_by_proxy, person_shown, register_people
from webhook_app.web.receive.pages.rejections import rejections_blueprint
from webhook_app.web.receive.pages.spool import spool_blueprint
from webhook_app.web.redeliver.pages.deliveries import delivery_pages_blueprint
from webhook_app.web.redeliver.pages.replays import replays_blueprint
from webhook_app.web.requests import get_services
from webhook_app.web.search import search_blueprint


def register_pages(app: Flask, settings: Settings) -> None:
    """Sessions, CSRF protection, throttle, headers and layout, then the pages."""
    if settings.redis_url is None:
        raise ConfigurationError("REDIS_URL is not set; `webhook-app run` brings a redis-server of its own.")
    app.config.update(
        BOOTSTRAP_SERVE_LOCAL=True,
        SESSION_COOKIE_SECURE=settings.session_cookie_secure == "always",
        WTF_CSRF_CHECK_DEFAULT=False,  # `_protect_forms` does it, for all but what programs call
        WTF_CSRF_TIME_LIMIT=int(settings.session_lifetime),
        WTF_CSRF_SSL_STRICT=False,  # it wants a Referer, with the very port that the proxy says; `foreign_site` looks
    )
    register_people(app)
    Bootstrap5(app)
    csrf = CSRFProtect(app)

    def protect_forms() -> None:
        # A bearer token is no cookie: no other site can make a browser send it.
        if request.endpoint is not None and not is_program_path():
            csrf.protect()
            if request.is_secure and request.method not in ("GET", "HEAD", "OPTIONS"):
                _refuse_foreign_site()

    app.before_request(protect_forms)
    register_throttle(app, settings.redis_url)
    register_template_filters(app)
    register_pieces(app)
    register_discrepancy_words(app)
    register_page_headers(app)
    app.context_processor(_layout)
    app.after_request(_count_anew)
    for blueprint in (
        people_blueprint,
        account_blueprint,
        audit_blueprint,
        tokens_blueprint,
        delivery_pages_blueprint,
        replays_blueprint,
        rejections_blueprint,
        scorecard_page_blueprint,
        spool_blueprint,
        drift_page_blueprint,
        incidents_page_blueprint,
        probe_page_blueprint,
        transaction_pages_blueprint,
        transaction_totals_blueprint,
        transaction_strip_blueprint,
        saved_views_blueprint,
        transaction_page_blueprint,
        discrepancy_pages_blueprint,
        discrepancy_sheet_blueprint,
        docs_blueprint,
        transaction_files_blueprint,
        search_blueprint,
    ):
        app.register_blueprint(blueprint)


def _refuse_foreign_site() -> None:
    if (host := foreign_site()) is not None:
        raise ApiError(
            400,
            "invalid_request",
            "csrf_failed",
            f"This form was sent from {storable(host, 200) or 'another site'}, and the request is for "
            f"{storable(request.host, 200)}. Nothing was changed. If the first is this site's address, the proxy in "
            "front must hand on the Host header, or send X-Forwarded-Host (see docs/proxies.md).",
        )


def _count_anew(response: Response) -> Response:
    """Who has just replayed or acknowledged something sees the menu's numbers without it."""
    if request.method == "POST" and not is_program_path():
        get_services().people_needed.forget()
    return response


def _layout() -> dict[str, object]:
    """What base.html shows on every page."""
    person = person_shown()
    return {
        "person": person,
        "menu": make_menu(person),
        "sandbox": proof_sandbox(),
        "is_signed_on_by_proxy": is_signed_on_by_proxy(),
        "version": __version__,
        "url_of": url_of,
        "url_with": url_with,
    }
