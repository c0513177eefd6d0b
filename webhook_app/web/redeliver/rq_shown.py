"""What the RQ dashboard shows, in rq-dashboard's own pages and JSON: read by us, for rq-dashboard reads pickles, fails
on what is no job, and writes ids and names into its pages as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rq_dashboard.web
from flask import current_app, jsonify, make_response, render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import escape
from redis import Redis

from webhook_app.adapters.rq_picture import SeenJob, count_jobs, see_job, see_jobs, see_queues
from webhook_app.adapters.rq_workers import SeenWorker, see_workers
from webhook_app.web.requests import get_services

_NO_STORE = {"Cache-Control": "no-store"}
#: Links to pages of a list that are shown at a time.
_WINDOW = 10


def show_queues(instance_number: int) -> ResponseReturnValue:
    return _page("queues.html", instance_number, active_tab="queues")


def show_workers(instance_number: int) -> ResponseReturnValue:
    return _page("workers.html", instance_number, active_tab="workers")


def show_jobs(
    instance_number: int, queue_name: str | None, registry_name: str, per_page: str, order: str, page: str
) -> ResponseReturnValue:
    """The list of a queue's jobs in one of its registries; its script asks for the jobs themselves."""
    return _page(
        "jobs.html",
        instance_number,
        active_tab="jobs",
        queues=[{"name": name} for name in see_queues(_redis())],
        queue={"name": queue_name or "default"},
        registry_name=registry_name,
        per_page=per_page,
        order=order,
        page=page,
    )


def show_job(instance_number: int, job_id: str) -> ResponseReturnValue:
    """The page of one job. Raises NoSuchJobError."""
    return _page("job.html", instance_number, id=see_job(_redis(), job_id).id)


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


def _page(template: str, instance_number: int, **values: Any) -> ResponseReturnValue:
    page = render_template(
        f"rq_dashboard/{template}",
        current_instance=instance_number,
        instance_list=current_app.config["RQ_DASHBOARD_REDIS_URL"],
        rq_url_prefix=url_for("rq_dashboard.queues_overview"),
        rq_dashboard_version=rq_dashboard.web.rq_dashboard_version,
        rq_version=rq_dashboard.web.rq_version,
        enable_delete=False,
        **values,
    )
    return make_response(page, _NO_STORE)


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
