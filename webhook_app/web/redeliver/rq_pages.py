"""The RQ dashboard's pages, in the layout of all pages, at rq-dashboard's addresses. The server makes each as a whole:
no script has to run, and nothing that stands in Redis is HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import render_template, url_for
from flask.typing import ResponseReturnValue
from redis import Redis

from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.adapters.rq_picture import REGISTRIES, SeenJob, see_counts, see_job, see_jobs, see_queues
from webhook_app.adapters.rq_workers import see_workers
from webhook_app.models.event import Delivery
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.last_failures import LastFailure, find_last_failures
from webhook_app.usecases.redeliver.replay import Selection, preview_replay
from webhook_app.usecases.redeliver.while_paused import find_pause
from webhook_app.web.redeliver.pages.pauses import pause_sentence
from webhook_app.web.requests import get_services

#: What each of our queues is for.
PURPOSES = {
    FAST_QUEUE: "the fast lane: all that is due, many at once",
    SLOW_QUEUE: "the slow lane: what failed, one by one",
}
PER_PAGE = 50
#: What is replayed where all is requeued.
ALL_FAILED = Selection(wanted=DeliveryFilter(state=str(Delivery.FAILED)))


@dataclass(frozen=True)
class ShownJob:
    job: SeenJob
    known: LastFailure | None
    """What SQL knows of its transaction."""


@dataclass(frozen=True)
class Refusal:
    """Why a form was not done, with what was typed."""

    reason: str
    problem: str


def show_queues(instance_number: int) -> ResponseReturnValue:  # noqa: ARG001 - of the path; there is one instance
    """All queues with how many jobs are where."""
    html = render_template(
        "redeliver/rq_queues.html",
        queues=see_queues(_redis()),
        registries=list(REGISTRIES),
        purposes=PURPOSES,
        path_of=path_of_jobs,
    )
    return html, 200


def show_workers(instance_number: int) -> ResponseReturnValue:  # noqa: ARG001
    workers = sorted(see_workers(_redis()), key=lambda one: (one.state, one.queues, one.name))
    return render_template("redeliver/rq_workers.html", workers=workers), 200


def show_jobs(
    instance_number: int,  # noqa: ARG001
    queue_name: str | None,
    registry_name: str,
    per_page: str,
    order: str,
    page: str,
) -> ResponseReturnValue:
    """A queue's jobs in one of its registries; without a queue, what failed in the slow lane."""
    if queue_name is None:
        queue_name, registry_name, per_page, order = SLOW_QUEUE, "failed", str(PER_PAGE), "dsc"
    return render_jobs(queue_name, registry_name, int(per_page), order, int(page)), 200


def render_jobs(
    queue: str,
    registry: str,
    per_page: int = PER_PAGE,
    order: str = "dsc",
    page: int = 1,
    refused: Refusal | None = None,
) -> str:
    """`refused`: of the form that requeues all."""
    redis = _redis()
    jobs = see_jobs(redis, queue, registry, (page - 1) * per_page, per_page, backwards=order == "dsc")
    counts = see_counts(redis, queue)
    last = max(-(-counts[registry] // per_page), 1)

    def path_of_page(number: int) -> str | None:
        return path_of_jobs(queue, registry, per_page, order, number) if 1 <= number <= last else None

    return render_template(
        "redeliver/rq_jobs.html",
        queue=queue,
        purpose=PURPOSES.get(queue),
        registry=registry,
        counts=counts,
        jobs=_with_failures(jobs),
        path_of=path_of_jobs,
        before=path_of_page(page - 1),
        after=path_of_page(page + 1),
        is_slow=queue == SLOW_QUEUE,
        most_shown=MOST_SHOWN,
        paused=_describe_pause_of_all() if registry == "failed" and queue == SLOW_QUEUE else "",
        refused=refused,
    )


def show_job(instance_number: int, job_id: str) -> ResponseReturnValue:  # noqa: ARG001
    """One job. Raises NoSuchJobError."""
    return render_job(job_id), 200


def render_job(job_id: str, refused: Refusal | None = None) -> str:
    """Raises NoSuchJobError."""
    job = see_job(_redis(), job_id)
    (shown,) = _with_failures([job])
    back = path_of_jobs(job.origin, "failed") if job.origin in PURPOSES else url_for("rq_dashboard.queues_overview")
    paused = pause_sentence(1) if job.merchant_transaction_id else ""
    return render_template(
        "redeliver/rq_job.html", job=job, known=shown.known, back=back, paused=paused, refused=refused
    )


def _describe_pause_of_all() -> str:
    """What becomes of all that failed, shown here or not. Counted only while calls are paused."""
    database = get_services().database
    return "" if find_pause(database) is None else pause_sentence(preview_replay(database, ALL_FAILED).transactions)


def path_of_jobs(queue: str, registry: str, per_page: int = PER_PAGE, order: str = "dsc", page: int = 1) -> str:
    return url_for(
        "rq_dashboard.jobs_overview",
        instance_number=0,
        queue_name=queue,
        registry_name=registry,
        per_page=per_page,
        order=order,
        page=page,
    )


def _with_failures(jobs: Sequence[SeenJob]) -> list[ShownJob]:
    ids = {job.merchant_transaction_id for job in jobs if job.merchant_transaction_id is not None}
    known: Mapping[str, LastFailure] = find_last_failures(get_services().database, ids)
    return [ShownJob(job, known.get(job.merchant_transaction_id or "")) for job in jobs]


def _redis() -> Redis:
    return get_services().queues.redis
