"""`/api/v1/drift`: what Proof says that this release does not know, for admins."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.models.role import Role
from webhook_app.usecases.monitor.drift import DriftReport, dismiss, list_drift
from webhook_app.web.api.auth import calling_actor, token_auth
from webhook_app.web.cursors import make_cursor, read_cursor
from webhook_app.web.monitor.drift_schemas import DismissalSchema, DriftPageSchema, DriftQuerySchema, DriftSchema
from webhook_app.web.requests import get_services

_LISTING = "drift"
_ADMINS = str(Role.ADMIN)

drift_blueprint = Blueprint(
    "drift", __name__, url_prefix="/api/v1/drift", description="What Proof says that this release does not know"
)


@drift_blueprint.get("")
@token_auth.login_required(role=_ADMINS)
@drift_blueprint.arguments(DriftQuerySchema, location="query", unknown=RAISE)
@drift_blueprint.response(200, DriftPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """Drift, what was first seen last first, in pages; the open ones unless asked otherwise."""
    after = read_cursor(_LISTING, query["cursor"])
    page = list_drift(get_services().database, query["wanted"], query["limit"], after)
    return {"items": page.items, "next_cursor": make_cursor(_LISTING, page.next_after)}


@drift_blueprint.post("/<int:drift_id>/dismiss")
@token_auth.login_required(role=_ADMINS)
@drift_blueprint.arguments(DismissalSchema)
@drift_blueprint.response(200, DriftSchema)
@drift_blueprint.alt_response(409, response="Conflict")
def dismiss_one(order: dict[str, Any], drift_id: int) -> DriftReport:
    """Notes that a person has looked at it; it is open again when it is seen after that. 409 where it is not open."""
    services = get_services()
    return dismiss(services.database, drift_id, order["note"], calling_actor(), services.clock())
