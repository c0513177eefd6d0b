"""`/`: where everything is, for programs; people go to their first page."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect
from werkzeug.wrappers import Response

from webhook_app import __version__
from webhook_app.web.audience import wants_page
from webhook_app.web.navigation import first_page
from webhook_app.web.people import current_person, to_log_in

index_blueprint = Blueprint("index", __name__)


@index_blueprint.get("/")
def index() -> Response:
    """The service, its version and its routes; for a person, the first page that they may see."""
    if wants_page():
        person = current_person()
        return redirect(first_page(person), 303) if person else to_log_in()
    return jsonify(
        {
            "service": "webhook-app",
            "version": __version__,
            "routes": {
                "POST /webhooks/proof": "Proof's partner webhook",
                "GET /api/v1/transactions": "reconciled transactions (API token)",
                "GET /api/v1/transactions/<merchant_transaction_id>": "one transaction with its history (API token)",
                "GET /healthz": "is the process alive?",
                "GET /readyz": "does everything that it needs work?",
            },
        }
    )
