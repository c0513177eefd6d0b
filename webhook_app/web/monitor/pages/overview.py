"""`/`: is everything well? For people who are logged in; programs get the index of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request
from markupsafe import Markup, escape
from werkzeug.wrappers import Response

from webhook_app.logs import first_line, get_logger
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.monitor.activity import DAY, HOUR, MONTH, WEEK
from webhook_app.usecases.monitor.overview import MOST_LOOKED_AT, Overview, read_overview
from webhook_app.web.content_negotiation import wants_page
from webhook_app.web.errors import DATABASE_UNAVAILABLE, RETRY_AFTER
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.local_path import outer_path
from webhook_app.web.monitor.index import service_index
from webhook_app.web.monitor.overview.parts import Level, check_parts, check_parts_without_sql
from webhook_app.web.monitor.overview.plots import list_numbers, plot_failures, plot_flow
from webhook_app.web.monitor.overview.verdict import judge, judge_without_sql
from webhook_app.web.people import current_person, looks_on, refuse_others
from webhook_app.web.requests import get_services

log = get_logger()

overview_blueprint = Blueprint("overview", __name__)

#: Kinds of failure that are listed; the rest is counted.
MOST_GROUPS = 20
MOST_PAIRS = 12

#: How far the plot looks back, by what the address calls it.
_SPANS = {"hour": HOUR, "day": DAY, "week": WEEK, "month": MONTH}


@overview_blueprint.app_template_filter("commands")
def show_commands(sentence: str) -> Markup:
    """Text with what stands in backquotes as code."""
    parts = enumerate(sentence.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in parts)


@overview_blueprint.get("/")
def show() -> Response:
    """The page."""
    return _answer("monitor/overview.html") if wants_page() else service_index()


@overview_blueprint.get("/overview/part")
@looks_on
def show_part() -> Response:
    """What the page fetches to refresh itself."""
    return _answer("monitor/overview_part.html")


def _answer(template: str) -> Response:
    """The page also answers while SQL is away, when it cannot tell who asks: it says no more then than `/readyz`."""
    services = get_services()
    try:
        refusal = refuse_others()
        if refusal is not None:
            return refusal
        overview = read_overview(services.database, services.clock(), _SPANS[_span_asked_for()])
        problem = find_address_problem(span=_SPANS)
        return make_response(
            render_template(template, problem=problem, **_context(services, overview)), 400 if problem else 200
        )
    except DATABASE_UNAVAILABLE as error:
        log.error("database unavailable", error=first_line(error))
    parts = check_parts_without_sql(services)
    up = sum(part.level is Level.GOOD for part in parts)
    page = render_template(
        template, overview=None, parts=parts, up=up, verdict=judge_without_sql(), now=services.clock(), span="hour"
    )
    return make_response(page, 503, {"Retry-After": str(RETRY_AFTER)})


def deliveries_path(state: str, error: str | None = None, code: str | None = None) -> str:
    """The address of the list of these deliveries."""
    query = {"state": state, "error": error, "code": code}
    return outer_path("/deliveries?") + urlencode({name: value for name, value in query.items() if value})


def _context(services: Services, overview: Overview) -> Mapping[str, Any]:
    person = current_person()
    is_admin = person is not None and person.role == Role.ADMIN
    parts = check_parts(services, overview)
    failures = plot_failures(overview.activity)
    return {
        "overview": overview,
        "now": overview.now,
        "parts": parts,
        "verdict": judge(overview, parts, is_admin=is_admin),
        "is_admin": is_admin,
        "deliveries_path": deliveries_path,
        "most_looked_at": MOST_LOOKED_AT,
        "most_groups": MOST_GROUPS,
        "most_pairs": MOST_PAIRS,
        "spans": list(_SPANS),
        "span": _span_asked_for(),
        "up": sum(part.level is Level.GOOD for part in parts),
        "numbers": list_numbers(overview.activity),
        # What did not happen needs no plot.
        "plots_drawn": [plot_flow(overview.activity), *([failures] if not failures.is_empty else [])],
    }


def _span_asked_for() -> str:
    asked = request.args.get("span", "")
    return asked if asked in _SPANS else "hour"
