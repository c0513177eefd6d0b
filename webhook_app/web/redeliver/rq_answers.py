"""What is done on the RQ dashboard, by forms with a reason, as for every replay. Only jobs of ours are requeued."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job

from webhook_app.adapters.foreign_jobs import NOT_ONE_OF_OURS
from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.adapters.rq_jobs import SHOWS_FAILED, SLOW_QUEUE, NotOurs, OwnJob
from webhook_app.adapters.rq_picture import REGISTRIES, remove_ids_without_job
from webhook_app.usecases.redeliver.replay import order_replay, replay_from_rq
from webhook_app.usecases.redeliver.requeued_jobs import note_requeued
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import current_actor
from webhook_app.web.redeliver.reasons import read_reason, reason_problem
from webhook_app.web.redeliver.rq_pages import ALL_FAILED, Refusal, path_of_jobs, render_job, render_jobs
from webhook_app.web.requests import get_services


def requeue_job(job_id: str) -> ResponseReturnValue:
    """Replays the transaction that the job shows; a job that failed in RQ itself is queued again."""
    services, reason = get_services(), read_reason()
    try:
        job = OwnJob.fetch(job_id, services.queues.redis)
    except NotOurs as foreign:
        return render_job(job_id, Refusal(reason, f"{NOT_ONE_OF_OURS}: {foreign}. It was not queued.")), 409
    if problem := reason_problem(reason):
        return render_job(job_id, Refusal(reason, problem)), 400
    if not job.meta.get(SHOWS_FAILED):
        return _requeue_in_rq(job, reason)
    merchant_transaction_id = str(job.args[0])
    actor = current_actor("rq")
    replay_id = replay_from_rq(services.database, merchant_transaction_id, actor, reason, services.clock())
    if replay_id is None:
        return render_job(job_id, Refusal(reason, "It is not failed any more: there is nothing to replay.")), 409
    with suppress(RedisError):  # the replay is in SQL; the clock dispatches it when Redis is back
        services.queues.dispatch([merchant_transaction_id])
    return redirect(url_for("replays.show", replay_id=replay_id), 303)


def requeue_all(queue_name: str) -> ResponseReturnValue:
    """Replays all that failed, also what the dashboard does not show; of another queue, its failed jobs."""
    services, reason = get_services(), read_reason()
    if problem := reason_problem(reason):
        return render_jobs(queue_name, "failed", refused=Refusal(reason, problem)), 400
    if queue_name != SLOW_QUEUE:
        return _requeue_all_in_rq(queue_name, reason)
    ordered = order_replay(services.database, ALL_FAILED, current_actor("rq"), reason, services.clock())
    if ordered.replay_id is None:
        problem = "Nothing is failed that does not wait in a replay already."
        return render_jobs(queue_name, "failed", refused=Refusal(reason, problem)), 409
    services.waker.wake()
    return redirect(url_for("replays.show", replay_id=ordered.replay_id), 303)


def compact_queue(queue_name: str) -> ResponseReturnValue:
    """Takes ids without a job out of the queue."""
    removed = remove_ids_without_job(get_services().queues.redis, queue_name)
    flash(f"{grouped(removed)} ids without a job were taken out of the queue.", "success")
    return redirect(path_of_jobs(queue_name, "queued"), 303)


def _requeue_in_rq(job: Job, reason: str) -> ResponseReturnValue:
    try:
        job.requeue()
    except (InvalidJobOperation, NoSuchJobError):
        problem = "This job is not failed any more: there is nothing to requeue."
        return render_job(job.id, Refusal(reason, problem)), 409
    _note_requeued(job.origin, 1, reason)
    flash("The job is queued again.", "success")
    return redirect(path_of_jobs(job.origin, "failed"), 303)


def _requeue_all_in_rq(queue_name: str, reason: str) -> ResponseReturnValue:
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
    _note_requeued(queue_name, requeued, reason)
    message = "1 job is queued again." if requeued == 1 else f"{grouped(requeued)} jobs are queued again."
    if foreign:
        message += " 1 other is" if foreign == 1 else f" {grouped(foreign)} others are"
        message += " not ours and stayed."
    flash(message, "success")
    return redirect(path_of_jobs(queue_name, "failed"), 303)


def _note_requeued(queue: str, jobs: int, reason: str) -> None:
    services = get_services()
    note_requeued(services.database, queue, jobs, current_actor("rq"), reason, services.clock())
