"""`webhook-app run`, `worker` and `clock`: processes that need no Flask."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import click

from webhook_app.commands.options import start_service
from webhook_app.config import load_settings
from webhook_app.run.lanes import run_children
from webhook_app.run.stack import own_command, run_stack
from webhook_app.run.supervisor import Child
from webhook_app.services import open_reconciler, open_services
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import run_clock
from workers.start import run_lane


@click.command()
def run() -> None:
    """Start everything: database upgrade, web, worker, clock; Redis and the sandbox where none is configured."""
    sys.exit(run_stack(load_settings(os.environ), os.environ))


@click.command()
@click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="One lane only; without it, both.")
def worker(lane: str | None) -> None:
    """Reconcile: the fast lane many at once, the slow lane one by one."""
    settings = start_service(f"worker-{lane}" if lane else "worker")
    services = open_services(settings)
    open_reconciler(services, threads=1)  # likewise: it would otherwise show in the first job
    assert settings.redis_url is not None, "open_services has checked it"
    if lane:
        run_lane(settings.redis_url, Lane(lane))
        logging.shutdown()
        os._exit(0)  # a call to Proof that still hangs, its claim handed back, must not keep the process
    children = [Child(f"worker-{name}", own_command("worker", "--lane", str(name)), dict(os.environ)) for name in Lane]
    # A call under way gets the time to end.
    sys.exit(run_children(children, grace_seconds=settings.slowest_call + 3))


@click.command()
def clock() -> None:
    """Sweep SQL every second for what is due, stuck or failed. Any number may run."""
    settings = start_service("clock")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services = open_services(settings, pool_size=2)
    run_clock(services, open_reconciler(services, threads=8), stop)
