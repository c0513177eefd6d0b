"""`/rq/`: the RQ dashboard, for admins, with a guard before it. Requeueing there is a replay.

rq-dashboard has neither log-in nor CSRF protection, and answers a GET that requeues everything. Its blueprint is one
object for the whole process, so the guard is the application's, and looks at which blueprint a request is for.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import rq_dashboard
import rq_dashboard.web
from flask import Flask, Response, jsonify, request
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from webhook_app.adapters.queueing import MOST_SHOWN, SHOWS_FAILED, SLOW_QUEUE
from webhook_app.config import without_passwords
from webhook_app.models.event import Delivery
from webhook_app.models.system import Role
from webhook_app.services import Services
from webhook_app.usecases.deliveries import DeliveryFilter
from webhook_app.usecases.replay import Actor, Selection, order_replay, replay_from_rq
from webhook_app.web.errors import ApiError
from webhook_app.web.people import current_person, refuse_others
from webhook_app.web.requests import get_services

_BLUEPRINT = "rq_dashboard"
_REASON = "requeued on the RQ dashboard"


def mount_rq_dashboard(app: Flask, services: Services) -> None:
    """Mounts the dashboard over the services' Redis."""
    rq_dashboard.web.config.serializer = JSONSerializer
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=(services.settings.redis_url,),
        RQ_DASHBOARD_DISABLE_DELETE=True,  # what it would delete, the clock would show again
        RQ_DASHBOARD_POLL_INTERVAL=5000,
    )
    app.redis_conn = services.queues.redis  # type: ignore[attr-defined]  # where rq-dashboard looks for it
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")
    app.before_request(_guard)
    app.context_processor(lambda: {"most_shown": MOST_SHOWN, "shown_redis": without_passwords(_shown(services))})


def _shown(services: Services) -> str:
    return services.settings.redis_url or ""


def _guard() -> Response | tuple[Response, int] | None:
    """Lets admins through; lets nothing change by GET or from another site; makes requeueing a replay."""
    if request.blueprint != _BLUEPRINT:
        return None
    refusal = refuse_others(Role.ADMIN)
    if refusal is not None:
        return refusal  # type: ignore[return-value]  # Werkzeug's Response, which Flask takes as well
    endpoint = (request.endpoint or "").removeprefix(f"{_BLUEPRINT}.")
    if request.method in ("GET", "HEAD", "OPTIONS"):
        if endpoint == "requeue_all":
            raise ApiError(
                405, "invalid_request", "method_not_allowed", "A link must not requeue anything: use the button."
            )
        return None
    _refuse_other_sites()
    arguments = request.view_args or {}
    if endpoint == "requeue_job_view":
        return _requeue_job(arguments["job_id"])
    if endpoint == "requeue_all" and arguments["queue_name"] == SLOW_QUEUE:
        return _requeue_all()
    return None


def _refuse_other_sites() -> None:
    """The dashboard's own calls carry a header that no other site's page can set, and, as all do, where they are from."""
    origin = request.headers.get("Origin")
    is_own = origin is None or urlsplit(origin).netloc == request.host
    is_own = is_own and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    if not is_own or request.headers.get("X-Requested-With") != "XMLHttpRequest":
        raise ApiError(
            403, "forbidden", "forbidden_origin", "This was not sent by the RQ dashboard's own page, so nothing was done."
        )


def _requeue_job(job_id: str) -> Response | tuple[Response, int] | None:
    """Replays the transaction that the job shows; another job goes on to rq-dashboard."""
    services = get_services()
    try:
        job = Job.fetch(job_id, connection=services.queues.redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return jsonify(status="ERROR", message="This job is gone: the page is out of date."), 404
    if not job.meta.get(SHOWS_FAILED):
        return None
    merchant_transaction_id = str(job.args[0])
    if not replay_from_rq(services.database, merchant_transaction_id, _actor(), _REASON, services.clock()):
        return jsonify(status="ERROR", message="It is not failed any more: there is nothing to replay."), 409
    try:
        services.queues.dispatch([merchant_transaction_id])
    except RedisError:
        pass  # the replay is in SQL; the clock dispatches it when Redis is back
    return jsonify(status="OK")


def _requeue_all() -> Response:
    """Replays all that failed, also what the dashboard does not show."""
    services = get_services()
    wanted = Selection(wanted=DeliveryFilter(state=str(Delivery.FAILED)))
    ordered = order_replay(services.database, wanted, _actor(), f"{_REASON}: all", services.clock())
    services.waker.wake()
    return jsonify(status="OK", count=ordered.replayed)


def _actor() -> Actor:
    person = current_person()
    assert person is not None, "the guard has let an admin through"
    return Actor(person.name, "rq")
