"""`/api/v1/transactions`: what finance reads."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from webhook_app.domain.text import is_usable_id
from webhook_app.usecases.finance.reports import TransactionReport, list_transactions, report_transaction
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.usecases.refusals import Missing
from webhook_app.web.api.auth import READERS, token_auth
from webhook_app.web.finance.list_cursors import make_list_cursor, read_list_cursor
from webhook_app.web.finance.schemas import TransactionDetailSchema, TransactionPageSchema, TransactionQuerySchema
from webhook_app.web.requests import get_services

_LISTING = "transactions"

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
    described = wanted.described()
    after = read_list_cursor(_LISTING, described, query["cursor"])
    page = list_transactions(get_services().database, wanted, query["limit"], after)
    next_cursor = make_list_cursor(_LISTING, described, page.next_after)
    return {"items": page.items, "next_cursor": next_cursor, "freshness": page.freshness}


@transactions_blueprint.get("/<merchant_transaction_id>")
@token_auth.login_required(role=READERS)
@transactions_blueprint.response(200, TransactionDetailSchema)
def show_one(merchant_transaction_id: str) -> TransactionReport:
    """One transaction with its history, events, discrepancies and attempts."""
    report = None
    if is_usable_id(merchant_transaction_id):
        report = report_transaction(get_services().database, merchant_transaction_id)
    if report is None:
        raise Missing("No event has named a transaction with this id.")
    return report
