"""`webhook-app clock`."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import click
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.commands.start import start_service
from webhook_app.logs import get_logger
from webhook_app.services import (
    open_courier,
    open_lookout,
    open_reconciler,
    open_services,
    refuse_private_addresses,
)
from webhook_app.usecases.incidents.lookout import Lookout
from workers.clock import INTERVAL, run_clock

log = get_logger()


@click.command()
def clock() -> None:
    """Sweep SQL every second for what is due, stuck or failed. Any number may run."""
    settings = start_service("clock")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    refuse_private_addresses(settings)
    services = open_services(settings, pool_size=4)
    lookout = open_lookout(services)
    lookout.start()
    courier = open_courier(services)
    courier.start()
    _wait_for_sql(lookout, stop)
    with suppress(SQLAlchemyError):  # the courier does it later; without recipients it does not run
        courier.note_recipients()
    run_clock(services, open_reconciler(services, threads=8), stop)
    courier.close()
    lookout.close()


def _wait_for_sql(lookout: Lookout, stop: threading.Event) -> None:
    """The first sweep writes over when the last one was, of which incidents are to know."""
    if lookout.note_absence():
        return
    log.warning("the clock waits for SQL")
    while not stop.wait(INTERVAL) and not lookout.note_absence():
        pass
