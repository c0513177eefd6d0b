"""What programs get at `/`: where everything is."""

from __future__ import annotations

from flask import Response, jsonify

from webhook_app import __version__


def service_index() -> Response:
    """The service, its version and its routes."""
    return jsonify(
        {
            "service": "webhook-app",
            "version": __version__,
            "routes": {
                "POST /webhooks/proof": "Proof's partner webhook",
                "GET /api/v1/transactions": "reconciled transactions (API token)",
                "GET /api/v1/transactions/<merchant_transaction_id>": "one transaction with its history (API token)",
                "GET /openapi.json": "all of the API, for programs",
                "GET /docs": "the same to read and to try",
                "GET /healthz": "is the process alive?",
                "GET /readyz": "does everything that it needs work?",
            },
        }
    )
