"""`/rq/`: the RQ dashboard, for admins, with a guard before it. Requeueing there is a replay.

Its addresses and its JSON are rq-dashboard's, its pages and views are ours: rq-dashboard's have neither log-in nor CSRF
protection, requeue everything by a GET, open a connection to Redis for each request, and believe whatever Redis holds.
Its blueprint is one object for the whole process, so the guard is the application's, looks at which blueprint a request
is for, and answers it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import rq_dashboard
from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.exceptions import NoSuchJobError
from werkzeug.wrappers import Response

from webhook_app.domain.causes import name_cause
from webhook_app.domain.text import visible_line
from webhook_app.logs import first_line, get_logger
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.web.errors import ApiError, error_response
from webhook_app.web.people import refuse_others
from webhook_app.web.redeliver.rq_answers import compact_queue, requeue_all, requeue_job
from webhook_app.web.redeliver.rq_json import list_jobs, list_queues, list_workers, tell_job
from webhook_app.web.redeliver.rq_pages import show_job, show_jobs, show_queues, show_workers

log = get_logger()

_BLUEPRINT = "rq_dashboard"

#: What only shows something, and what does something: of rq-dashboard's own views none is called.
_SHOWN: Mapping[str, Callable[..., ResponseReturnValue]] = {
    "queues_overview": show_queues,
    "workers_overview": show_workers,
    "jobs_overview": show_jobs,
    "job_view": show_job,
    "list_queues": list_queues,
    "list_jobs": list_jobs,
    "job_info": tell_job,
    "list_workers": list_workers,
}
_DONE: Mapping[str, Callable[..., ResponseReturnValue]] = {
    "requeue_job_view": requeue_job,
    "requeue_all": requeue_all,
    "compact_queue": compact_queue,
}
#: What would be deleted, the clock would show again.
_NEVER = ("delete_job_view", "empty_queue")
#: rq-dashboard's own files; our pages need none of them.
_FILES = ("static", "favicon")

#: What a part of a path may be.
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
    app.redis_conn = services.queues.redis  # type: ignore[attr-defined]  # rq-dashboard would open one of its own
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")
    app.before_request(_answer)
    app.register_error_handler(RedisError, _from_redis_error)
    for away in (RedisConnectionError, RedisTimeoutError):
        app.register_error_handler(away, _from_redis_away)
    app.register_error_handler(NoSuchJobError, _from_missing_job)


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
    _check_path(arguments)
    is_look = request.method in ("GET", "HEAD", "OPTIONS")
    if endpoint in _NEVER and not is_look:
        raise ApiError(
            409,
            "invalid_request",
            "conflict",
            "Jobs are not deleted: the list follows SQL, and what is deleted in Redis is there again a second later.",
        )
    view = (_SHOWN if is_look else _DONE).get(endpoint)
    if view is None:
        raise ApiError(
            405,
            "invalid_request",
            "method_not_allowed",
            "A link must not requeue anything: use the button.",
            headers={"Allow": "POST, OPTIONS"},
        )
    if request.method == "OPTIONS":
        return current_app.make_default_options_response()
    return view(**arguments)


def _check_path(arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if value is not None and not (name in _PARTS and _PARTS[name].fullmatch(str(value))):
            raise _no_page()


def _no_page() -> ApiError:
    return ApiError(
        404, "not_found", "not_found", "The RQ dashboard has no such page. Begin at its list of queues, /rq/."
    )


def _from_redis_away(error: RedisError) -> Response:
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


def _from_redis_error(error: RedisError) -> Response:
    what = visible_line(str(error)[:200]) or name_cause(error)
    log.error("redis refused", error=what)
    return error_response(
        ApiError(
            500,
            "internal_error",
            "redis_refused",
            f"Redis is there, but it refused what was asked of it: {what}. Nothing is lost: SQL has everything, and "
            "the deliveries' own page works.",
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
