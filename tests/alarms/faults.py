"""The faults: each is really there, and is really taken away again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text

from tests.alarms.stage import DISK, Stage
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.status import Status


@dataclass(frozen=True)
class Fault:
    """What is wrong, which incident it has to be, and which alerts say so, the first at least."""

    name: str
    kind: IncidentKind
    alerts: tuple[str, ...]
    begin: Callable[[Stage], None]
    end: Callable[[Stage], None]
    is_seen: bool = True
    """Whether pages can be read meanwhile."""


def _hush(stage: Stage) -> None:
    """The last webhook is 40 minutes old; payments that the partner watches change meanwhile."""
    stage.proof.configure(dropped=1.0)
    with stage.database.write() as session:
        session.execute(
            text(
                "UPDATE events SET received_at = received_at - interval '40 minutes', "
                "settled_at = settled_at - interval '40 minutes'"
            )
        )
    stage.watch(*stage.proof.create_many(8, status=Status.COMPLETED))


def _speak(stage: Stage) -> None:
    stage.proof.configure(dropped=0.0)
    stage.pay(1)


def _down(stage: Stage) -> None:
    stage.proof.inject_period("service_unavailable", 3600)
    stage.pay(8)


def _refuse_token(stage: Stage) -> None:
    stage.proof.configure(tokens=["another-token"])
    stage.pay(8)


def _know_token(stage: Stage) -> None:
    stage.proof.configure(tokens=[(stage.data_dir / "sandbox-token").read_text().strip()])


def _fill_disk(stage: Stage) -> None:
    (stage.data_dir / "filler").write_bytes(bytes((DISK - 50) * 1024 * 1024))


def _take_sql(stage: Stage) -> None:
    stage.postgres.crash()
    stage.pay(4)


def _hang_redis(stage: Stage) -> None:
    stage.redis().suspend()
    stage.pay(4)


def _switch_off_wallets(stage: Stage) -> None:
    stage.proof.inject_rate("wallet_not_supported", 1.0)
    stage.pay(15)


def _switch_on_wallets(stage: Stage) -> None:
    """And the ten minutes within which failures count as one burst are over."""
    stage.proof.clear_faults()
    with stage.database.write() as session:
        session.execute(text("UPDATE attempts SET finished_at = finished_at - interval '10 minutes'"))


FAULTS = (
    Fault("silent channel", IncidentKind.CHANNEL_SILENT, ("WebhookAppSilence",), _hush, _speak),
    Fault(
        *("outage of Proof", IncidentKind.PROOF_PAUSED, ("WebhookAppCallsPaused",)),
        *(_down, lambda stage: stage.proof.clear_faults()),
    ),
    Fault(
        *("wrong token", IncidentKind.PROOF_PAUSED, ("WebhookAppCallsPaused", "WebhookAppIncident")),
        *(_refuse_token, _know_token),
    ),
    Fault(
        *("dead clock", IncidentKind.CLOCK_SILENT, ("WebhookAppClockSilent", "WebhookAppIncident")),
        *(lambda stage: stage.process("clock").suspend(), lambda stage: stage.process("clock").resume()),
    ),
    Fault(
        *("full disk", IncidentKind.DISK_FULL, ("WebhookAppDiskFull", "WebhookAppIncident")),
        *(_fill_disk, lambda stage: (stage.data_dir / "filler").unlink()),
    ),
    Fault(
        *("SQL away", IncidentKind.SQL_AWAY, ("WebhookAppSqlAway", "WebhookAppSpoolInUse")),
        *(_take_sql, lambda stage: stage.postgres.start()),
        is_seen=False,
    ),
    Fault(
        *("Redis hangs", IncidentKind.REDIS_AWAY, ("WebhookAppRedisAway",)),
        *(_hang_redis, lambda stage: stage.redis().resume()),
    ),
    Fault(
        *("burst of failures", IncidentKind.FAILURE_BURST, ("WebhookAppGivenUp",)),
        *(_switch_off_wallets, _switch_on_wallets),
    ),
)
