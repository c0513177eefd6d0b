"""All of `webhook-app run`: real processes on free ports, in a data folder of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import Running, started
from tests.support.waiting import wait_for
from webhook_app.config import VARIABLES
from webhook_app.run.ports import free_port

_RUN = (sys.executable, "-m", "webhook_app.cli", "run")


def stack_environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a stack whose data folder is `var` in this folder, without traffic of its own."""
    port = free_port("127.0.0.1", (), but_not=0)
    ours = {variable.name for variable in VARIABLES}
    return {name: value for name, value in os.environ.items() if name not in ours} | {
        "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
        "PORT": str(port),
        "SANDBOX_PORT": str(free_port("127.0.0.1", (), but_not=port)),
        "SANDBOX_TRAFFIC": "0",
        "LOG_FORMAT": "json",
        **more,
    }


@contextmanager
def running_stack(
    env: Mapping[str, str], folder: Path, seconds: float = 60.0, *, may_fork: bool = True
) -> Iterator[Running]:
    """From when all is up. What it says goes to files in this folder. `may_fork`: see `started`."""
    with started(_RUN, env, folder, may_fork=may_fork) as run:
        wait_for(lambda: "Ctrl-C" in run.stdout or run.process.poll() is not None, "all is up", seconds)
        assert "Ctrl-C" in run.stdout, run.stderr
        yield run
