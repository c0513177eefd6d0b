"""`/api/v1/scorecard`: Proof's webhooks and API, measured."""

from __future__ import annotations

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.usecases.channels.scorecard import Scorecard, ScorecardFilter, read_scorecard
from webhook_app.web.api.auth import READERS, token_auth
from webhook_app.web.channels.scorecard_schemas import ScorecardQuerySchema, ScorecardSchema
from webhook_app.web.requests import get_services

scorecard_blueprint = Blueprint(
    "scorecard", __name__, url_prefix="/api/v1/scorecard", description="Proof's webhooks and API, measured"
)


@scorecard_blueprint.get("")
@token_auth.login_required(role=READERS)
@scorecard_blueprint.arguments(ScorecardQuerySchema, location="query", unknown=RAISE)
@scorecard_blueprint.response(200, ScorecardSchema)
def show(wanted: ScorecardFilter) -> Scorecard:
    """How final statuses came, what became of webhooks, errors with request ids, and outages, in a period."""
    return read_scorecard(get_services().database, wanted)
