"""`/api/v1/discrepancies`: what does not fit together, for finance to look at and acknowledge."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.usecases.finance.discrepancies import (
    DiscrepancyReport,
    acknowledge,
    assign,
    count_discrepancies,
    list_discrepancies,
    reopen,
)
from webhook_app.web.api.auth import READERS, calling_actor, token_auth
from webhook_app.web.cursors import make_cursor, read_cursor
from webhook_app.web.finance.discrepancy_schemas import (
    AcknowledgementSchema,
    AssignmentSchema,
    DiscrepancyPageSchema,
    DiscrepancyQuerySchema,
    DiscrepancySchema,
    ReopeningSchema,
)
from webhook_app.web.requests import get_services

_LISTING = "discrepancies"

discrepancies_blueprint = Blueprint(
    "discrepancies",
    __name__,
    url_prefix="/api/v1/discrepancies",
    description="Where reported, confirmed and possible do not fit together",
)


@discrepancies_blueprint.get("")
@token_auth.login_required(role=READERS)
@discrepancies_blueprint.arguments(DiscrepancyQuerySchema, location="query", unknown=RAISE)
@discrepancies_blueprint.response(200, DiscrepancyPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """Discrepancies, newest first, in pages; the open ones unless asked otherwise."""
    database = get_services().database
    page = list_discrepancies(database, query["wanted"], query["limit"], read_cursor(_LISTING, query["cursor"]))
    return {
        "items": page.items,
        "next_cursor": make_cursor(_LISTING, page.next_after),
        "counts": count_discrepancies(database),
    }


@discrepancies_blueprint.post("/<int:discrepancy_id>/acknowledge")
@token_auth.login_required(role=READERS)
@discrepancies_blueprint.arguments(AcknowledgementSchema)
@discrepancies_blueprint.response(200, DiscrepancySchema)
@discrepancies_blueprint.alt_response(409, response="Conflict")
def acknowledge_one(order: dict[str, Any], discrepancy_id: int) -> DiscrepancyReport:
    """Notes that a person has looked at it. 409 where it is not open, or has changed since it was seen."""
    services = get_services()
    return acknowledge(
        services.database, discrepancy_id, order["note"], calling_actor(), services.clock(), order.get("revision")
    )


@discrepancies_blueprint.post("/<int:discrepancy_id>/assign")
@token_auth.login_required(role=READERS)
@discrepancies_blueprint.arguments(AssignmentSchema)
@discrepancies_blueprint.response(200, DiscrepancySchema)
@discrepancies_blueprint.alt_response(409, response="Conflict")
def assign_one(order: dict[str, Any], discrepancy_id: int) -> DiscrepancyReport:
    """Says who looks into it. 409 where it is resolved."""
    services = get_services()
    return assign(services.database, discrepancy_id, order["owner"], calling_actor(), services.clock())


@discrepancies_blueprint.post("/<int:discrepancy_id>/reopen")
@token_auth.login_required(role=READERS)
@discrepancies_blueprint.arguments(ReopeningSchema)
@discrepancies_blueprint.response(200, DiscrepancySchema)
@discrepancies_blueprint.alt_response(409, response="Conflict")
def reopen_one(order: dict[str, Any], discrepancy_id: int) -> DiscrepancyReport:
    """Takes an acknowledgement back. 409 where it is not acknowledged."""
    services = get_services()
    return reopen(services.database, discrepancy_id, order["reason"], calling_actor(), services.clock())
