"""`/api/v1/probe`: has Proof probed at once while all calls are paused, for admins."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate

from webhook_app.domain.gate import Gate
from webhook_app.models.role import Role
from webhook_app.usecases.reconcile.probe_now import probe_now
from webhook_app.web.api.auth import calling_actor, token_auth
from webhook_app.web.api.fields import Timestamp
from webhook_app.web.requests import get_services

probe_blueprint = Blueprint("probe", __name__, url_prefix="/api/v1/probe", description="Whether Proof works again")


class ProbeOrderSchema(Schema):
    """Why, such as what was mended, for the audit log."""

    class Meta:
        unknown = RAISE

    reason = fields.String(
        required=True,
        validate=[validate.Length(1, 500), validate.Regexp(r"[\s\S]*\S", error="Must say something.")],
    )


class ProbeSchema(Schema):
    """The pause that the probes may end."""

    paused_at = Timestamp(dump_only=True)
    next_probe_at = Timestamp(dump_only=True)
    probes = fields.Integer(dump_only=True, metadata={"description": "Rounds so far in this pause."})


@probe_blueprint.post("")
@token_auth.login_required(role=str(Role.ADMIN))
@probe_blueprint.arguments(ProbeOrderSchema)
@probe_blueprint.response(202, ProbeSchema)
@probe_blueprint.alt_response(409, response="Conflict")
def send(order: dict[str, Any]) -> Gate:
    """Sends a round of probes as soon as something is due: an answer lets all calls go on. 409 where none is paused."""
    services = get_services()
    gate = probe_now(services.database, calling_actor(), order["reason"], services.clock())
    services.waker.wake()
    return gate
