"""What `webhook-app run` runs, noted in the data folder for as long as it runs, so that other commands find it.

The note holds addresses and no secret: those are files of their own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from webhook_app.config import environment, load_settings
from webhook_app.run.data_folder import holder, put
from webhook_app.run.plan import SANDBOX_TOKEN, Plan


@contextlib.contextmanager
def noted(plan: Plan) -> Iterator[None]:
    """While the context lasts, the note is there."""
    path = _path(plan.settings.data_dir)
    values = {"redis_url": plan.redis_url} if plan.redis_argv else {}
    if plan.sandbox_port:
        values |= {"proof_api_url": plan.proof_url, "sandbox_port": str(plan.sandbox_port)}
    values |= {"host": plan.settings.host, "port": str(plan.settings.port)}
    with contextlib.suppress(OSError):  # a full disk is no reason not to run
        put(path, json.dumps(environment(**values)))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def with_running(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what is unset in it filled in from a `run` that is under way on its data folder."""
    own = {name: value for name, value in environ.items() if value.strip()}
    data_dir = load_settings({name: own[name] for name in environment(data_dir="") if name in own}).data_dir
    if holder(data_dir) is None:
        return dict(environ)
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_path(data_dir).read_text(encoding="utf-8"))
        address, token = environment(proof_api_url="", proof_client_tokens="")
        if address in found and address not in own:
            with contextlib.suppress(OSError):
                found[token] = (data_dir / SANDBOX_TOKEN).read_text(encoding="utf-8").strip()
        return {**{name: str(value) for name, value in found.items()}, **own}
    return dict(environ)


def _path(data_dir: Path) -> Path:
    return data_dir / "running.json"
