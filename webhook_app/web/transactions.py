"""`/api/v1/transactions`: what finance reads."""

from __future__ import annotations

from typing import Any

from flask import current_app
from flask_smorest import Blueprint
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import RAISE

from webhook_app.domain.text import is_usable_id
from webhook_app.usecases.reports import TransactionFilter, TransactionReport, list_transactions, report_transaction
from webhook_app.web.auth import READERS, token_auth
from webhook_app.web.errors import ApiError
from webhook_app.web.requests import get_services
from webhook_app.web.schemas import TransactionDetailSchema, TransactionPageSchema, TransactionQuerySchema

transactions_blueprint = Blueprint(
    "transactions", __name__, url_prefix="/api/v1/transactions", description="Reconciled transactions"
)


@transactions_blueprint.get("")
@token_auth.login_required(role=READERS)
@transactions_blueprint.arguments(TransactionQuerySchema, location="query", unknown=RAISE)
@transactions_blueprint.response(200, TransactionPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """Transactions, newest first, in pages."""
    wanted: TransactionFilter = query["wanted"]
    page = list_transactions(get_services().database, wanted, query["limit"], _read_cursor(query["cursor"]))
    return {"items": page.items, "next_cursor": _make_cursor(page.next_before_id)}


@transactions_blueprint.get("/<merchant_transaction_id>")
@token_auth.login_required(role=READERS)
@transactions_blueprint.response(200, TransactionDetailSchema)
def show_one(merchant_transaction_id: str) -> TransactionReport:
    """One transaction with its history, events, anomalies and attempts."""
    report = None
    if is_usable_id(merchant_transaction_id):
        report = report_transaction(get_services().database, merchant_transaction_id)
    if report is None:
        raise ApiError(404, "not_found", "not_found", "No event has named a transaction with this id.")
    return report


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt="transactions-cursor")


def _make_cursor(before_id: int | None) -> str | None:
    return None if before_id is None else str(_serializer().dumps(before_id))


def _read_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        before_id = _serializer().loads(cursor)
    except BadData:
        before_id = None
    if not isinstance(before_id, int):
        problem = "Must be the next_cursor of an earlier answer, unchanged."
        raise ApiError(400, "invalid_request", "validation_error", f"cursor: {problem}", {"cursor": [problem]})
    return before_id
