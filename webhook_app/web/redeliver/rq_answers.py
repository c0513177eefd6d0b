"""What is done on the RQ dashboard, by us in rq-dashboard's place: only jobs of ours are requeued, as a replay."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import jsonify, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job

from webhook_app.adapters.foreign_jobs import NOT_ONE_OF_OURS
from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.adapters.rq_jobs import SHOWS_FAILED, SLOW_QUEUE, NotOurs, OwnJob
from webhook_app.adapters.rq_picture import REGISTRIES, remove_ids_without_job
from webhook_app.models.event import Delivery
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import DEFAULT_PER_SECOND, Selection, order_replay, replay_from_rq
from webhook_app.web.people import current_actor
from webhook_app.web.requests import get_services

_REASON = "requeued on the RQ dashboard"


def requeue_job(job_id: str) -> ResponseReturnValue:
    """Replays the transaction that the job shows; a job that failed in RQ itself is queued again."""
    services = get_services()
    try:
        job = OwnJob.fetch(job_id, services.queues.redis)
    except NotOurs as problem:
        return _refused(f"{NOT_ONE_OF_OURS}: {problem}. It was not queued.")
    if not job.meta.get(SHOWS_FAILED):
        return _requeue_in_rq(job)
    merchant_transaction_id = str(job.args[0])
    if not replay_from_rq(services.database, merchant_transaction_id, current_actor("rq"), _REASON, services.clock()):
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
    ordered = order_replay(services.database, wanted, current_actor("rq"), f"{_REASON}: all", services.clock())
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


def compact_queue(queue_name: str) -> ResponseReturnValue:
    """Takes ids without a job out of the queue."""
    removed = remove_ids_without_job(get_services().queues.redis, queue_name)
    return jsonify(status="OK", message=f"{removed} ids without a job were taken out of the queue.")


def _requeue_in_rq(job: Job) -> ResponseReturnValue:
    try:
        job.requeue()
    except (InvalidJobOperation, NoSuchJobError):
        return _refused("This job is not failed any more: there is nothing to requeue.")
    return jsonify(status="OK", message="The job is queued again.")


def _requeue_all_in_rq(queue_name: str) -> ResponseReturnValue:
    redis = get_services().queues.redis
    names: Any = redis.zrange(REGISTRIES["failed"].format(queue_name), 0, MOST_SHOWN)
    requeued = foreign = 0
    for name in names:
        try:
            OwnJob.fetch(name, redis).requeue()
            requeued += 1
        except NotOurs:
            foreign += 1
        except (InvalidJobOperation, NoSuchJobError):
            continue  # somebody was first
    message = f"{requeued} jobs are queued again."
    if foreign:
        message += f" {foreign} others are not ours and were not."
    return jsonify(status="OK", count=requeued, message=message)


def _refused(why: str) -> ResponseReturnValue:
    return jsonify(status="ERROR", message=why), 409
