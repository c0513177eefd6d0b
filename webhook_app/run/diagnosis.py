"""`webhook-app doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.foreign_jobs import KEPT_FOR, count_refused
from webhook_app.config import ConfigurationError, Settings, describe_settings
from webhook_app.db.database import missing_file
from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import rule_for
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.logs import first_line
from webhook_app.readiness import CHECKS, NotReady
from webhook_app.run.own_files import open_to_others
from webhook_app.services import Services, open_reconciler, open_services
from webhook_app.usecases.installation import ADVICE, is_shared
from webhook_app.usecases.monitor.websocket import read_websocket

#: Files that are named, of those that others can read.
_MOST_NAMED = 5
#: Not a transaction of anybody: Proof answers 404 to a caller whose token and address it accepts.
_PROBE_ID = "webhook-app-doctor"


@dataclass(frozen=True)
class Finding:
    line: str
    is_well: bool = True


def describe(environ: Mapping[str, str]) -> list[str]:
    """The configuration in force, secrets masked."""
    return [f"  {variable.name} = {shown}" for variable, shown in describe_settings(environ)]


def diagnose(settings: Settings) -> list[Finding]:
    """One finding for each check, what is wrong first."""
    return sorted(_diagnose(settings), key=lambda finding: (finding.is_well, finding.line.startswith("✓")))


def _diagnose(settings: Settings) -> list[Finding]:
    findings = [_look_at_files(settings.data_dir)]
    if (path := missing_file(settings.database_url)) is not None:
        told = (
            f"✗ sql: there is no database {path}. Start everything with `make run`, run this where that was started, "
            "or make one with `webhook-app db upgrade`"
        )
        return [*findings, Finding(told, is_well=False)]
    try:
        services = open_services(settings)
    except ConfigurationError as error:
        return [*findings, Finding(f"✗ configuration: {error}", is_well=False)]
    with closing(services):
        findings += [run_finding(name, check, services) for name, check in CHECKS.items()]
        findings.append(run_finding("spool", _check_spool, services))
        findings.append(run_finding("proof", check_proof, services))
        findings += _find_foreign_jobs(services)
        findings += _find_other_installation(services)
        findings += _look_at_websocket(services)
    return findings


def _look_at_files(data_dir: Path) -> Finding:
    """A warning and no error: somebody may share the folder on purpose."""
    found = [str(path) for path in open_to_others(data_dir)]
    if not found:
        return Finding("✓ files")
    shown = ", ".join(found[:_MOST_NAMED]) + (f" and {len(found) - _MOST_NAMED} more" if found[_MOST_NAMED:] else "")
    return Finding(
        f"! files: others on this machine can read {shown}. They hold payments or secrets: "
        f"chmod -R go-rwx {shlex.quote(str(data_dir))}, or start the service, which does it."
    )


def run_finding(name: str, check: Callable[[Services], None], services: Services) -> Finding:
    """What a check has found, whatever it raises."""
    try:
        check(services)
    except (NotReady, ConfigurationError) as problem:
        return Finding(f"✗ {name}: {problem}", is_well=False)
    except (SQLAlchemyError, RedisError) as error:
        return Finding(f"✗ {name}: cannot be reached: {first_line(error)}", is_well=False)
    except Exception as error:  # noqa: BLE001 - it is here to say what is wrong, whatever that is
        return Finding(f"✗ {name}: {type(error).__name__}: {first_line(error)}", is_well=False)
    return Finding(f"✓ {name}")


def _find_foreign_jobs(services: Services) -> list[Finding]:
    """A finding where there are some; none where Redis cannot tell, which another finding says."""
    try:
        count = count_refused(services.queues.redis)
    except RedisError:
        return []
    if not count:
        return []
    told = (
        f"✗ jobs: {count} that are not ours were put into Redis in the last {KEPT_FOR.days} days, and refused. "
        "Somebody else can write to it: see the failed jobs under /rq/, and docs/security.md for what they can do."
    )
    return [Finding(told, is_well=False)]


def _find_other_installation(services: Services) -> list[Finding]:
    """The same."""
    try:
        shared = is_shared(services.database, services.queues.redis, services.clock())
    except (RedisError, SQLAlchemyError):
        return []
    return [Finding(f"✗ redis: {ADVICE}", is_well=False)] if shared else []


def _look_at_websocket(services: Services) -> list[Finding]:
    """None where no listener is meant to run, or where SQL cannot tell, which another finding says. The channel is
    optional, so what is wrong with it is a warning."""
    try:
        with services.database.read() as session:
            channel = read_websocket(session, services.clock())
    except SQLAlchemyError:
        return []
    if channel is None:
        return []
    last = f", last update {format_timestamp(channel.last_update_at)}" if channel.last_update_at else ""
    if not channel.is_listening:
        return [Finding(f"! websocket: no listener runs any more{last}: start `webhook-app listen`. Polling goes on")]
    told = f"{channel.standing} of {channel.wanted} connections stand{last}"
    if channel.standing < channel.wanted and channel.problem:
        return [Finding(f"! websocket: {told}. {channel.problem}. Polling goes on")]
    return [Finding(f"✓ websocket: {told}")]


def _check_spool(services: Services) -> None:
    depth, fault = services.spool.depth(), services.spool.find_fault()
    found = []
    if depth.set_aside:
        found.append(
            f"{depth.set_aside} set aside, which cannot be stored as they are: see `webhook-app spool list` or /spool"
        )
    if depth.lines:
        why = f", since {fault.since.isoformat()}: {fault.why}" if fault else ""
        found.append(f"{depth.lines} wait to be stored in SQL, which a running web process does{why}")
    if found:
        raise NotReady("; ".join(found))


def check_proof(services: Services) -> None:
    with closing(open_reconciler(services, threads=1).proof) as proof:
        answer = proof.get_transaction(_PROBE_ID)
    if isinstance(answer, Failure):
        rule = rule_for(answer)
        if not rule.action.is_permanent:
            request_id = f" (request id {answer.request_id})" if answer.request_id else ""
            raise NotReady(visible_line(f"{answer.name}{request_id}: {answer.message} {rule.advice}"))
