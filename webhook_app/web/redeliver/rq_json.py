"""rq-dashboard's own JSON, for programs that read it. It is made by us: rq-dashboard reads pickles and fails on what is
no job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rq_dashboard.web
from flask import jsonify, url_for
from flask.typing import ResponseReturnValue
from markupsafe import escape
from redis import Redis

from webhook_app.adapters.rq_picture import SeenJob, count_jobs, see_job, see_jobs, see_queues
from webhook_app.adapters.rq_workers import SeenWorker, see_workers
from webhook_app.web.requests import get_services

_NO_STORE = {"Cache-Control": "no-store"}
#: Links to pages of a list that are shown at a time.
_WINDOW = 10


def list_queues(instance_number: int) -> ResponseReturnValue:
    queues = [_describe_queue(instance_number, name, counts) for name, counts in see_queues(_redis()).items()]
    return jsonify(queues=queues), _NO_STORE


def list_jobs(
    instance_number: int, queue_name: str, registry_name: str, per_page: str, order: str, page: str
) -> ResponseReturnValue:
    """One page of a queue's jobs in one of its registries."""
    size, number = int(per_page), int(page)
    jobs = see_jobs(_redis(), queue_name, registry_name, (number - 1) * size, size, backwards=order == "dsc")
    total = count_jobs(_redis(), queue_name, registry_name)

    def link(to: int) -> dict[str, str]:
        url = url_for(
            "rq_dashboard.jobs_overview",
            instance_number=instance_number,
            queue_name=queue_name,
            registry_name=registry_name,
            per_page=size,
            order=order,
            page=to,
        )
        return {"url": url}

    last = -(-total // size)
    shown = rq_dashboard.web.pagination_window(total, number, size, _WINDOW)
    pagination: dict[str, Any] = {
        "current_page": number,
        "num_pages": last,
        "pages_in_window": [{"number": one, **link(one)} for one in shown],
        "first_page": link(1),
        "last_page": link(last),
    }
    if number > 1:
        pagination["prev_page"] = link(number - 1)
    if number < last:
        pagination["next_page"] = link(number + 1)
    listed = [_describe_job(job) for job in jobs]
    return jsonify(name=queue_name, registry_name=registry_name, jobs=listed, pagination=pagination), _NO_STORE


def tell_job(instance_number: int, job_id: str) -> ResponseReturnValue:  # noqa: ARG001 - of the path
    """What the page of one job shows. Raises NoSuchJobError."""
    job = see_job(_redis(), job_id)
    more = {"origin": job.origin, "status": job.status, "result": None, "metadata": job.meta}
    return jsonify(_describe_job(job) | more | {"enqueued_at": _date(job.enqueued_at)}), _NO_STORE


def list_workers(instance_number: int) -> ResponseReturnValue:  # noqa: ARG001 - of the path; there is one instance
    """The workers with what each does now."""
    listed = sorted(
        map(_describe_worker, see_workers(_redis())), key=lambda one: (one["state"], one["queues"], one["name"])
    )
    return jsonify(workers=listed), _NO_STORE


def _describe_queue(instance_number: int, name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "count": counts["queued"]}
    for registry, count in counts.items():
        described[f"{registry}_url"] = url_for(
            "rq_dashboard.jobs_overview",
            instance_number=instance_number,
            queue_name=name,
            registry_name=registry,
            per_page="8",
            order="asc",
            page="1",
        )
        if registry != "queued":
            described[f"{registry}_job_registry_count"] = count
    return described


def _describe_job(job: SeenJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "created_at": _date(job.created_at),
        "started_at": _date(job.started_at),
        "ended_at": _date(job.ended_at),
        "exc_info": job.failure,
        "description": job.description,
    }


def _describe_worker(worker: SeenWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "state": str(escape(worker.state)),
        "current_job": _describe_current(worker.job),
        "last_heartbeat": _date(worker.last_heartbeat),
        "birth_date": _date(worker.birth),
        "successful_job_count": worker.successful_jobs,
        "failed_job_count": worker.failed_jobs,
        "total_working_time": worker.working_time,
        "version": str(escape(worker.version)),  # these are written into the page as HTML
        "python_version": str(escape(worker.python_version)),
    }


def _describe_current(job: SeenJob | None) -> str | dict[str, Any]:
    if job is None:
        return "idle"
    return {
        "job_id": job.id,
        "description": job.description,
        "created_at": _date(job.created_at),
        "call_string": str(escape(job.description)),  # this too
    }


def _date(timestamp: Any) -> str | None:
    date: str | None = rq_dashboard.web.serialize_date(timestamp)
    return date


def _redis() -> Redis:
    return get_services().queues.redis
