"""What we answer on the RQ dashboard in rq-dashboard's place: where it cannot read JSON jobs, and where it requeues."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import rq_dashboard.web
from flask import current_app, jsonify, render_template, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker.base import BaseWorker

from webhook_app.adapters.rq_jobs import SHOWS_FAILED, SLOW_QUEUE
from webhook_app.models.event import Delivery
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import DEFAULT_PER_SECOND, Selection, order_replay, replay_from_rq
from webhook_app.web.people import current_person
from webhook_app.web.requests import get_services

_REASON = "requeued on the RQ dashboard"


def show_job(instance_number: int, job_id: str) -> ResponseReturnValue:
    """rq-dashboard's page of one job, which it would only show of a pickled one. Raises NoSuchJobError."""
    job = _fetch(job_id)
    return render_template(
        "rq_dashboard/job.html",
        current_instance=instance_number,
        instance_list=current_app.config["RQ_DASHBOARD_REDIS_URL"],
        id=job.id,
        rq_url_prefix=url_for("rq_dashboard.queues_overview"),
        rq_dashboard_version=rq_dashboard.web.rq_dashboard_version,
        rq_version=rq_dashboard.web.rq_version,
        enable_delete=False,
    )


def list_workers(instance_number: int) -> ResponseReturnValue:  # noqa: ARG001 - of the path; there is one instance
    """The workers with what each does now, in rq-dashboard's JSON."""
    workers = Worker.all(connection=get_services().queues.redis, serializer=JSONSerializer)
    listed = sorted(
        (_describe(worker) for worker in workers), key=lambda one: (one["state"], one["queues"], one["name"])
    )
    return jsonify(workers=listed), {"Cache-Control": "no-store"}


def requeue_job(job_id: str) -> ResponseReturnValue:
    """Replays the transaction that the job shows; a job that failed in RQ itself is queued again."""
    services = get_services()
    job = _fetch(job_id)
    if not job.meta.get(SHOWS_FAILED):
        return _requeue_in_rq(job)
    merchant_transaction_id = str(job.args[0])
    if not replay_from_rq(services.database, merchant_transaction_id, _actor(), _REASON, services.clock()):
        return _refused("It is not failed any more: there is nothing to replay.")
    with suppress(RedisError):  # the replay is in SQL; the clock dispatches it when Redis is back
        services.queues.dispatch([merchant_transaction_id])
    return jsonify(status="OK", message=f"{merchant_transaction_id} is replayed; it is in the audit log.")


def requeue_all(queue_name: str) -> ResponseReturnValue:
    """Replays all that failed, also what the dashboard does not show; of another queue, its failed jobs."""
    services = get_services()
    if queue_name != SLOW_QUEUE:
        return _requeue_all_in_rq(queue_name)
    wanted = Selection(wanted=DeliveryFilter(state=str(Delivery.FAILED)))
    ordered = order_replay(services.database, wanted, _actor(), f"{_REASON}: all", services.clock())
    if ordered.replay_id is None:
        return _refused("Nothing is failed that does not wait in a replay already.")
    services.waker.wake()
    return jsonify(
        status="OK",
        count=ordered.replayed,
        message=f"Replay {ordered.replay_id}: {ordered.replayed} deliveries are sent round again, "
        f"{DEFAULT_PER_SECOND:.0f} a second.",
        url=url_for("replays.show", replay_id=ordered.replay_id),
    )


def _fetch(job_id: str) -> Job:
    return Job.fetch(job_id, connection=get_services().queues.redis, serializer=JSONSerializer)


def _requeue_in_rq(job: Job) -> ResponseReturnValue:
    try:
        job.requeue()
    except (InvalidJobOperation, NoSuchJobError):
        return _refused("This job is not failed any more: there is nothing to requeue.")
    return jsonify(status="OK", message="The job is queued again.")


def _requeue_all_in_rq(queue_name: str) -> ResponseReturnValue:
    registry = Queue(queue_name, connection=get_services().queues.redis, serializer=JSONSerializer).failed_job_registry
    count = 0
    for job_id in registry.get_job_ids(cleanup=False):
        try:
            _fetch(job_id).requeue()
        except (InvalidJobOperation, NoSuchJobError):
            continue  # somebody was first
        count += 1
    return jsonify(status="OK", count=count, message=f"{count} jobs are queued again.")


def _refused(why: str) -> ResponseReturnValue:
    return jsonify(status="ERROR", message=why), 409


def _describe(worker: BaseWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "pid": worker.pid,
        "queues": worker.queue_names(),
        "state": str(worker.get_state()),
        "current_job": _describe_job(worker),
        "last_heartbeat": rq_dashboard.web.serialize_date(worker.last_heartbeat),
        "birth_date": rq_dashboard.web.serialize_date(worker.birth_date),
        "successful_job_count": worker.successful_job_count,
        "failed_job_count": worker.failed_job_count,
        "total_working_time": worker.total_working_time,
        "version": worker.version,
        "python_version": worker.python_version,
    }


def _describe_job(worker: BaseWorker) -> str | dict[str, Any]:
    try:
        job = worker.get_current_job()
        if job is None:
            return "idle"
        return {
            "job_id": job.id,
            "description": job.description,
            "created_at": rq_dashboard.web.serialize_date(job.created_at),
            "call_string": job.description or job.get_call_string(),
        }
    except (NoSuchJobError, DeserializationError):
        return "idle"  # it has just ended


def _actor() -> Actor:
    person = current_person()
    assert person is not None, "the guard has let an admin through"
    return Actor(person.name, "rq")
