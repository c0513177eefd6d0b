"""`/rq/`: the RQ dashboard, for admins, with a guard before it. Requeueing there is a replay.

rq-dashboard has neither log-in nor CSRF protection, answers a GET that requeues everything, opens a connection to
Redis for each request, and fails on jobs that are not pickled. Its blueprint is one object for the whole process, so
the guard is the application's, looks at which blueprint a request is for, and answers it: by rq-dashboard's view or by
ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import rq_dashboard
import rq_dashboard.web
from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from werkzeug.wrappers import Response

from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.config_values import without_passwords
from webhook_app.logs import first_line, get_logger
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.web.errors import ApiError, error_response
from webhook_app.web.people import refuse_others
from webhook_app.web.redeliver.rq_answers import list_workers, requeue_all, requeue_job, show_job
from webhook_app.web.requests import get_services

log = get_logger()

_BLUEPRINT = "rq_dashboard"
_SAFE = ("GET", "HEAD", "OPTIONS")

#: What is answered here instead of by rq-dashboard.
_OURS = {
    "job_view": show_job,
    "list_workers": list_workers,
    "requeue_job_view": requeue_job,
    "requeue_all": requeue_all,
}
#: What needs no Redis.
_FILES = ("static", "favicon")

#: What a part of a path may be. rq-dashboard writes them into scripts and works with them unchecked.
_PARTS = {
    "instance_number": re.compile("0"),
    "queue_name": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "registry_name": re.compile("queued|failed|deferred|started|finished|scheduled|canceled"),
    "order": re.compile("asc|dsc"),
    "per_page": re.compile("[1-9][0-9]?|1[0-9][0-9]|200"),
    "page": re.compile("[1-9][0-9]{0,5}"),
    "job_id": re.compile(r"[A-Za-z0-9_-]{1,200}"),
}


def mount_rq_dashboard(app: Flask, services: Services) -> None:
    """Mounts the dashboard over the services' Redis."""
    url = without_passwords(services.settings.redis_url or "")
    rq_dashboard.web.config.serializer = JSONSerializer
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=(url,),  # only shown: the connection is the services' own
        RQ_DASHBOARD_DISABLE_DELETE=True,  # what it would delete, the clock would show again
        RQ_DASHBOARD_POLL_INTERVAL=5000,
    )
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")
    app.before_request(_answer)
    app.register_error_handler(RedisError, _from_redis_error)
    app.register_error_handler(NoSuchJobError, _from_missing_job)
    app.context_processor(lambda: {"most_shown": MOST_SHOWN, "shown_redis": url})


def _answer() -> ResponseReturnValue | None:
    """Answers what is for the dashboard: for admins alone, nothing changed by GET or from another site."""
    if request.blueprint != _BLUEPRINT:
        return None
    refusal = refuse_others(Role.ADMIN)
    if refusal is not None:
        return refusal
    endpoint = (request.endpoint or "").removeprefix(f"{_BLUEPRINT}.")
    arguments = request.view_args or {}
    if endpoint in _FILES:
        return None
    if request.method not in _SAFE:
        _refuse_other_sites()
    elif endpoint == "requeue_all":
        raise ApiError(
            405, "invalid_request", "method_not_allowed", "A link must not requeue anything: use the button."
        )
    _check_path(arguments)
    redis = get_services().queues.redis
    redis.ping()  # rq-dashboard has a bare heading for a Redis that is away, we have a sentence
    current_app.redis_conn = redis  # type: ignore[attr-defined]  # where rq-dashboard looks for it
    view: Any = _OURS.get(endpoint) or current_app.view_functions[f"{_BLUEPRINT}.{endpoint}"]
    answer: ResponseReturnValue = view(**arguments)
    return answer


def _refuse_other_sites() -> None:
    """The dashboard's own calls carry a header that no other site's page can set, and say where they are from."""
    origin = request.headers.get("Origin")
    is_own = origin is None or urlsplit(origin).netloc == request.host
    is_own = is_own and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    if not is_own or request.headers.get("X-Requested-With") != "XMLHttpRequest":
        raise ApiError(
            403,
            "forbidden",
            "forbidden_origin",
            "This was not sent by the RQ dashboard's own page, so nothing was done.",
        )


def _check_path(arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if value is not None and not (name in _PARTS and _PARTS[name].fullmatch(str(value))):
            raise ApiError(
                404, "not_found", "not_found", "The RQ dashboard has no such page. Begin at its list of queues, /rq/."
            )


def _from_redis_error(error: RedisError) -> Response:
    log.error("redis unavailable", error=first_line(error))
    return error_response(
        ApiError(
            503,
            "internal_error",
            "redis_error",
            "Redis cannot be reached right now, so nothing of RQ can be shown. Nothing is lost: SQL has everything, "
            "the clock reconciles by itself meanwhile, and the deliveries' own page works. Try again in 5 seconds.",
            headers={"Retry-After": "5"},
        )
    )


def _from_missing_job(_error: NoSuchJobError) -> Response:
    return error_response(
        ApiError(
            404,
            "not_found",
            "not_found",
            "RQ has no such job (any more). What became of its transaction is under Deliveries.",
        )
    )
