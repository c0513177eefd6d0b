"""`/api/v1/deliveries` and `/api/v1/replays`: what admins read and send round again."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.models.role import Role
from webhook_app.usecases.redeliver.deliveries import list_deliveries
from webhook_app.usecases.redeliver.replay import (
    cancel_replay,
    order_replay,
    preview_replay,
)
from webhook_app.usecases.redeliver.replay_reports import report_progress
from webhook_app.usecases.redeliver.while_paused import find_pause
from webhook_app.usecases.refusals import Missing
from webhook_app.web.api.auth import calling_actor, token_auth
from webhook_app.web.cursors import make_cursor, read_cursor
from webhook_app.web.redeliver.schemas import (
    DeliveryPageSchema,
    DeliveryQuerySchema,
    OrderedSchema,
    ProgressSchema,
    ReplayOrderSchema,
    ReplaySchema,
)
from webhook_app.web.requests import get_services

_LISTING = "deliveries"
_ADMINS = str(Role.ADMIN)

deliveries_blueprint = Blueprint(
    "deliveries", __name__, url_prefix="/api/v1", description="Deliveries, and their replay by a person"
)


@deliveries_blueprint.get("/deliveries")
@token_auth.login_required(role=_ADMINS)
@deliveries_blueprint.arguments(DeliveryQuerySchema, location="query", unknown=RAISE)
@deliveries_blueprint.response(200, DeliveryPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """Deliveries, newest first, in pages."""
    after = read_cursor(_LISTING, query["cursor"])
    page = list_deliveries(get_services().database, query["wanted"], query["limit"], after)
    return {"items": page.items, "next_cursor": make_cursor(_LISTING, page.next_after)}


@deliveries_blueprint.post("/deliveries/replay")
@token_auth.login_required(role=_ADMINS)
@deliveries_blueprint.arguments(ReplayOrderSchema)
@deliveries_blueprint.response(200, OrderedSchema)
def replay(order: dict[str, Any]) -> dict[str, Any]:
    """Sends deliveries round again; as a dry run, only says which."""
    services = get_services()
    if order["dry_run"]:
        return vars(preview_replay(services.database, order["selection"])) | _paused()
    ordered = order_replay(
        services.database, order["selection"], calling_actor(), order["reason"], services.clock(), order["per_second"]
    )
    if ordered.replay_id is not None:
        services.waker.wake()
    return vars(ordered) | _paused()


@deliveries_blueprint.get("/replays/<int:replay_id>")
@token_auth.login_required(role=_ADMINS)
@deliveries_blueprint.response(200, ProgressSchema)
def show_replay(replay_id: int) -> dict[str, Any]:
    """How a replay stands."""
    return _progress(replay_id)


@deliveries_blueprint.post("/replays/<int:replay_id>/cancel")
@token_auth.login_required(role=_ADMINS)
@deliveries_blueprint.response(200, ProgressSchema)
@deliveries_blueprint.alt_response(409, response="Conflict")
def cancel(replay_id: int) -> dict[str, Any]:
    """Stops a replay: what it has not released yet stays failed."""
    services = get_services()
    _progress(replay_id)
    cancel_replay(services.database, replay_id, calling_actor(), services.clock())
    return _progress(replay_id)


def _progress(replay_id: int) -> dict[str, Any]:
    progress = report_progress(get_services().database, replay_id)
    if progress is None:
        raise Missing("There is no replay with this id.")
    derived = {name: getattr(progress, name) for name in ("under_way", "is_settled")}
    ordered = {name: getattr(progress.replay, name, None) for name in ReplaySchema._declared_fields}
    return vars(progress) | derived | {"replay": ordered | {"finished_at": progress.finished_at}} | _paused()


def _paused() -> dict[str, Any]:
    return {"paused": find_pause(get_services().database)}
