"""Starts `webhook-app` with steps at which it can be held: `python -m tests.chaos.dying worker --lane fast`.

When the harness has armed a step (`steps.py`), the first process of that role that reaches it says so and stands still
until it is killed or let go. Nothing of this is in the product: names are wrapped here, after import.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.steps import BOUNDARIES, KILLERS, Boundary

_FOLDER = Path(os.environ.get("CHAOS_STEPS", "/nonexistent"))
_ROLE = os.environ.get("CHAOS_ROLE", "")


def main() -> None:
    for step, boundary in BOUNDARIES.items():
        if boundary.role == _ROLE:
            _wrap(step, boundary)
    _wrap_fetch()
    from webhook_app.cli import main as run

    sys.argv[0] = "webhook-app"
    run()


def _wrap(step: str, boundary: Boundary) -> None:
    holder, name = resolve(boundary.target)
    original: Callable[..., Any] = getattr(holder, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if boundary.before:
            _reach(step)
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        if result or not boundary.only_if_true:
            _reach(step)
        return result

    setattr(holder, name, wrapper)


def _wrap_fetch() -> None:
    """Ids that kill whoever fetches them, as a bug in a C library or a lack of memory would."""
    from webhook_app.adapters.proof import ProofClient

    original = ProofClient.get_transaction

    def get_transaction(self: ProofClient, merchant_transaction_id: str, **options: Any) -> Any:
        if merchant_transaction_id.startswith(KILLERS):
            with (_FOLDER / "deaths").open("a") as file:
                file.write(f"{merchant_transaction_id}\n")
            os.kill(os.getpid(), signal.SIGKILL if merchant_transaction_id.endswith("kill") else signal.SIGSEGV)
            time.sleep(10)
        return original(self, merchant_transaction_id, **options)

    ProofClient.get_transaction = get_transaction  # type: ignore[method-assign]  # to die in there is what this launcher is for


def _reach(step: str) -> None:
    mine = _FOLDER / f"{step}.taken-by-{os.getpid()}-{threading.get_ident()}"
    try:
        (_FOLDER / f"{step}.armed").rename(mine)  # one process takes it, once
    except FileNotFoundError:
        return
    number = mine.read_text()
    mine.write_text(str(os.getpid()))
    mine.rename(_FOLDER / f"{number}.reached")
    while not (_FOLDER / f"{number}.go").exists():
        time.sleep(0.005)


def resolve(target: str) -> tuple[Any, str]:
    module_name, _, path = target.partition(":")
    holder: Any = importlib.import_module(module_name)
    *above, name = path.split(".")
    for part in above:
        holder = getattr(holder, part)
    return holder, name


if __name__ == "__main__":
    main()
