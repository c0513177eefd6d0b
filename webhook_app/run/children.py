"""The processes of `webhook-app run`, in their order."""

from __future__ import annotations

from webhook_app.run import redis_server
from webhook_app.run.http_probe import get, status_of
from webhook_app.run.plan import LOOPBACK, Plan
from webhook_app.run.supervisor import Child

# Deaths before the start counts as failed: 1 + 2 s of waiting.
GIVE_UP_AFTER = 3

#: By name, with their commands. The lanes have no supervisor of their own here.
_WORKING = (
    ("worker-fast", "worker", "--lane", "fast"),
    ("worker-slow", "worker", "--lane", "slow"),
    ("clock", "clock"),
)


def make_children(plan: Plan) -> list[Child]:
    """Redis first, then the sandbox, then the lanes and the clock, web last; they stop in the opposite order."""
    data_dir = plan.settings.data_dir
    children: list[Child] = []
    if plan.redis_argv is not None:
        redis_server.start_new_log(data_dir)
        children.append(
            Child(
                "redis",
                plan.redis_argv,
                plan.env,
                stage=0,
                is_ready=lambda: redis_server.redis_answers(plan.redis_url),
                repair=lambda: redis_server.set_damaged_aside(data_dir),
                give_up_after=GIVE_UP_AFTER,
                hint=f"Its log is {redis_server.log_path(data_dir)}.",
            )
        )
    above = "What it said stands above."
    if (sandbox_port := plan.sandbox_port) is not None:
        children.append(
            Child(
                "sandbox",
                plan.command("sandbox"),
                plan.env,
                stage=1,
                is_ready=lambda: get(LOOPBACK, sandbox_port, "/") is not None,
                give_up_after=GIVE_UP_AFTER,
                hint=above,
            )
        )
    patience = GIVE_UP_AFTER if plan.redis_fault is None else None
    children += [
        Child(name, plan.command(*words), plan.env, stage=2, give_up_after=patience, hint=above)
        for name, *words in _WORKING
    ]
    children.append(
        Child(
            "web",
            plan.command("web"),
            plan.env,
            stage=3,
            is_ready=lambda: status_of(get(plan.web_host, plan.settings.port, "/healthz")) == 200,
            give_up_after=GIVE_UP_AFTER,
            hint=above,
        )
    )
    return children
