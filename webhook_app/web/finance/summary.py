"""`/api/v1/summary`: what finance closes the month on."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.usecases.finance.summary import Grouping, summarise
from webhook_app.web.api.auth import READERS, token_auth
from webhook_app.web.finance.schemas import SummaryQuerySchema, SummarySchema
from webhook_app.web.requests import get_services

summary_blueprint = Blueprint("summary", __name__, url_prefix="/api/v1/summary", description="Counts and exact sums")


@summary_blueprint.get("")
@token_auth.login_required(role=READERS)
@summary_blueprint.arguments(SummaryQuerySchema, location="query", unknown=RAISE)
@summary_blueprint.response(200, SummarySchema)
def show(query: dict[str, Any]) -> dict[str, Any]:
    """Counts and exact sums of confirmed transactions, in groups."""
    grouping: Grouping = query["grouping"]
    summary = summarise(get_services().database, query["wanted"], grouping)
    return {
        "by": list(grouping.by),
        "day_of": grouping.day_of,
        "tz": grouping.zone.key,
        "count": summary.count,
        "last_confirmed_at": summary.last_confirmed_at,
        "items": summary.rows,
        "freshness": summary.freshness,
    }
