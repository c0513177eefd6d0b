"""`/healthz` and `/readyz`, for load balancers and operators."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from webhook_app.readiness import OK, run_checks
from webhook_app.web.requests import get_services

health_blueprint = Blueprint("health", __name__)


@health_blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify({"status": "alive"})


@health_blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Everything it needs works: each check is `ok` or says what is wrong."""
    results = run_checks(get_services())
    is_ready = all(result == OK for result in results.values())
    spool = get_services().spool
    depth, fault = spool.depth(), spool.find_fault()
    answer = {
        "status": "ready" if is_ready else "not ready",
        "checks": results,
        "spool": {
            "records": depth.lines,
            "bytes": depth.size,
            "set_aside": depth.set_aside,
            "fault": fault and f"since {fault.since.isoformat()}: {fault.kind}",
        },
    }
    return jsonify(answer), 200 if is_ready else 503
