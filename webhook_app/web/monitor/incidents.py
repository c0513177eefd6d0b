"""`/api/v1/incidents`: what was wrong, since when, why, and what came of it."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.usecases.incidents.reports import list_incidents
from webhook_app.web.api.auth import READERS, token_auth
from webhook_app.web.cursors import make_cursor, read_cursor
from webhook_app.web.monitor.incident_schemas import IncidentPageSchema, IncidentQuerySchema
from webhook_app.web.requests import get_services

_LISTING = "incidents"

incidents_blueprint = Blueprint(
    "incidents", __name__, url_prefix="/api/v1/incidents", description="What was wrong, and what came of it"
)


@incidents_blueprint.get("")
@token_auth.login_required(role=READERS)
@incidents_blueprint.arguments(IncidentQuerySchema, location="query", unknown=RAISE)
@incidents_blueprint.response(200, IncidentPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """Incidents, what began last first, in pages; open and resolved ones unless asked otherwise."""
    services = get_services()
    after = read_cursor(_LISTING, query["cursor"])
    page = list_incidents(services.database, query["wanted"], query["limit"], services.clock(), after)
    return {"items": page.items, "next_cursor": make_cursor(_LISTING, page.next_after)}
