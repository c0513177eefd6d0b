"""`webhook-app worker`."""

from __future__ import annotations

import logging
import os
import sys

import click

from webhook_app.commands.start import start_service
from webhook_app.run.forking import own_command
from webhook_app.run.lanes import run_children
from webhook_app.run.priority import stand_back
from webhook_app.run.supervisor import Child
from webhook_app.services import open_reconciler, open_services
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.start import run_lane


@click.command()
@click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="One lane only; without it, both.")
def worker(lane: str | None) -> None:
    """Reconcile: the fast lane many at once, the slow lane one by one."""
    settings = start_service(f"worker-{lane}" if lane else "worker")
    services = open_services(settings)
    open_reconciler(services, threads=1)  # a wrong configuration shows here, and not in the first job
    assert settings.redis_url is not None, "open_services has checked it"
    if lane:
        if not services.database.is_sqlite:  # there web would wait for the lock of a writer that stands back
            stand_back(settings.worker_nice)
        run_lane(settings.redis_url, Lane(lane))
        logging.shutdown()
        os._exit(0)  # a call to Proof that still hangs, its claim handed back, must not keep the process
    children = [Child(f"worker-{name}", own_command("worker", "--lane", str(name)), dict(os.environ)) for name in Lane]
    # A call under way gets the time to end.
    sys.exit(run_children(children, grace_seconds=settings.slowest_call + 3))
