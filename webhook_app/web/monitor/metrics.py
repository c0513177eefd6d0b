"""`/metrics`, for Prometheus: who may read it, and what this host adds to what all processes have written to SQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping

from flask import Blueprint, Response, request
from sqlalchemy.exc import SQLAlchemyError

from webhook_app import __version__
from webhook_app.domain.metrics import COUNTED, Family, MetricKind, Sample
from webhook_app.domain.networks import read_address
from webhook_app.services import Services
from webhook_app.usecases.monitor.measuring import MEASURED, read_measurements
from webhook_app.usecases.totals import read_totals
from webhook_app.web.api.auth import token_auth
from webhook_app.web.monitor.exposition import expose
from webhook_app.web.requests import get_services

metrics_blueprint = Blueprint("metrics", __name__)

#: A request that has one of these came through a proxy.
_OF_PROXIES = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")


def _gauge(name: str, meaning: str, *labels: str) -> Family:
    return Family(f"webhook_app_{name}", MetricKind.GAUGE, meaning, labels)


BUILD = _gauge("build_info", "1; the release of the web process that answers.", "version")
SQL_UP = _gauge("sql_up", "1 where SQL answered this scrape; without it, only what this host knows is here.")
CLOCK_LAG = _gauge("clock_lag_seconds", "Since the clock was last seen alive.")
MEASURED_AGE = _gauge("measured_age_seconds", "Since the clock measured what is here.")
SPOOL_RECORDS = _gauge("spool_records", "Events in this host's spool that wait for SQL.")
SPOOL_BYTES = _gauge("spool_bytes", "Bytes that this host's spool holds.")
SET_ASIDE = _gauge("spool_set_aside_records", "Lines of this host's spool that wait for a person.")
FREE = _gauge("data_folder_free_bytes", "Bytes that are free where the data folder is.")
OF_HOST = (BUILD, SQL_UP, CLOCK_LAG, MEASURED_AGE, SPOOL_RECORDS, SPOOL_BYTES, SET_ASIDE, FREE)

#: All that can be scraped.
FAMILIES = (*OF_HOST, *MEASURED, *COUNTED)


@metrics_blueprint.get("/metrics")
def show() -> Response:
    """To METRICS_ALLOWED_IPS, and to whoever has an API token, of whatever role."""
    answer: Response = _show() if _is_allowed(get_services()) else _show_with_token()
    return answer


def _show() -> Response:
    services = get_services()
    samples = list(_look_at_host(services))
    totals: Mapping[tuple[str, str], float] | None = None
    try:
        measured, totals = read_measurements(services.database), read_totals(services.database)
    except SQLAlchemyError:
        samples.append(Sample(SQL_UP.name, 0.0))
    else:
        samples += [Sample(SQL_UP.name, 1.0), *measured.samples]
        for family, at in ((CLOCK_LAG, measured.clock_beat_at), (MEASURED_AGE, measured.at)):
            if at is not None:
                samples.append(Sample(family.name, max((services.clock() - at).total_seconds(), 0.0)))
    body, content_type = expose(FAMILIES, samples, totals, request.headers.get("Accept", ""))
    return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})


_show_with_token = token_auth.login_required(_show)


def _is_allowed(services: Services) -> bool:
    """Whether the sender's address alone will do. A proxy that TRUSTED_PROXY_HOPS does not count hides who asks."""
    if not services.settings.trusted_proxy_hops and any(name in request.headers for name in _OF_PROXIES):
        return False
    address = read_address(request.remote_addr)
    return address is not None and any(address in one for one in services.settings.metrics_allowed_networks)


def _look_at_host(services: Services) -> Iterator[Sample]:
    yield Sample(BUILD.name, 1.0, {"version": __version__})
    depth = services.spool.depth()
    yield Sample(SPOOL_RECORDS.name, depth.lines)
    yield Sample(SPOOL_BYTES.name, depth.size)
    yield Sample(SET_ASIDE.name, depth.set_aside)
    for folder in (services.settings.data_dir, *services.settings.data_dir.parents):
        if folder.is_dir():  # it is made with the first thing that is kept in it
            yield Sample(FREE.name, shutil.disk_usage(folder).free)
            return
