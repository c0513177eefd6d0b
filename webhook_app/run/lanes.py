"""Several processes behind one command: `webhook-app worker` without arguments keeps both lanes alive."""

from __future__ import annotations

from collections.abc import Sequence

from webhook_app.run.supervisor import Child, StartFailed, Supervisor, ignore_stop_signals, log


def run_children(children: Sequence[Child], *, grace_seconds: float) -> int:
    """Keeps the children alive until SIGTERM, SIGINT or SIGHUP, then stops them; returns the exit code."""
    ignore_stop_signals()
    with Supervisor(children, grace_seconds=grace_seconds) as supervisor:
        try:
            if supervisor.start():
                supervisor.run()
        except StartFailed as error:
            log.error("start failed", why=str(error))
            return 1
    return 0
