"""What a process needs to do its work, made from the settings. Handed in wherever it is used."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from webhook_app.adapters.incident_journal import IncidentJournal
from webhook_app.adapters.name_resolution import resolve
from webhook_app.adapters.proof import ProofClient
from webhook_app.adapters.queueing import Queues, Waker, connect_redis
from webhook_app.adapters.senders.mail import MailSender
from webhook_app.adapters.senders.pagerduty import PagerDutySender
from webhook_app.adapters.senders.sender import Sender
from webhook_app.adapters.senders.slack import SlackSender
from webhook_app.adapters.senders.teams import TeamsSender
from webhook_app.adapters.senders.webhook import WebhookSender
from webhook_app.adapters.spool import Spool
from webhook_app.config import ConfigurationError, Settings, refuse_private
from webhook_app.db.bounded import BoundedSql
from webhook_app.db.database import Database
from webhook_app.domain.networks import is_private
from webhook_app.domain.timestamps import utc_now
from webhook_app.tracing import flush_traces, trace_engine
from webhook_app.usecases.access.last_use import LastUse
from webhook_app.usecases.access.remembered_callers import RememberedCallers
from webhook_app.usecases.channels.sessions import MOST_AT_ONCE, Sessions
from webhook_app.usecases.drift import DriftLog
from webhook_app.usecases.incidents.lookout import Lookout
from webhook_app.usecases.incidents.surroundings import SurroundingsObserver
from webhook_app.usecases.notifications.courier import Courier
from webhook_app.usecases.notifications.plan import Rules
from webhook_app.usecases.people_needed import PeopleNeededCount
from webhook_app.usecases.receive.intake import Intake
from webhook_app.usecases.receive.rejections import Rejections
from webhook_app.usecases.reconcile.decisions import Policy
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.totals import Totals
from webhook_app.usecases.write_probe import WriteProbe

Clock = Callable[[], datetime]

#: Seconds that a start waits for the address of somebody who is to be notified.
_RESOLVED_WITHIN = 3.0


@dataclass(frozen=True)
class Services:
    settings: Settings
    database: Database
    queues: Queues
    waker: Waker
    intake: Intake
    spool: Spool
    last_use: LastUse
    remembered_callers: RememberedCallers
    session_sql: BoundedSql
    """What a session needs of SQL must hold up no answer of Proof's."""
    sessions: Sessions
    rejections: Rejections
    drift: DriftLog
    people_needed: PeopleNeededCount
    totals: Totals
    write_probe: WriteProbe
    journal: IncidentJournal
    """One for a process: on a full disk it is in memory, and whoever tells of it must see that."""
    clock: Clock = utc_now

    def close(self) -> None:
        """Ends its threads and closes its connections."""
        self.intake.close()
        self.sessions.close()
        self.session_sql.close()
        self.last_use.close()
        self.rejections.close()
        self.drift.close()
        self.totals.close()
        self.waker.close()
        self.queues.redis.close()
        self.database.close()
        flush_traces()


def open_services(
    settings: Settings, *, pool_size: int = 8, database: Database | None = None, clock: Clock = utc_now
) -> Services:
    """Connects lazily: nothing is reached before it is used. Raises ConfigurationError where something is unset."""
    if settings.redis_url is None:
        raise ConfigurationError(
            "REDIS_URL is not set: set it to a Redis or Valkey server, such as redis://127.0.0.1:6379/0, "
            "or start everything with `webhook-app run`, which brings its own."
        )
    queues = Queues(connect_redis(settings.redis_url))
    database = database or Database(settings.database_url, pool_size=pool_size)
    trace_engine(database.engine)
    spool = open_spool(settings)
    waker = Waker(queues)
    totals = Totals(database)
    session_sql = BoundedSql(MOST_AT_ONCE, settings.ingest_budget)
    return Services(
        settings=settings,
        database=database,
        queues=queues,
        waker=waker,
        intake=Intake(database, spool, settings.ingest_budget, clock, waker.wake, totals),
        spool=spool,
        last_use=LastUse(database),
        rejections=Rejections(database, totals),
        remembered_callers=RememberedCallers(),
        session_sql=session_sql,
        sessions=Sessions(
            database,
            spool,
            lambda: open_proof(settings, MOST_AT_ONCE),
            clock,
            sql=session_sql,
            budget=settings.proof_session_budget,
            pepper=settings.secret_key or "",
        ),
        drift=DriftLog(database),
        people_needed=PeopleNeededCount(database, clock),
        totals=totals,
        write_probe=WriteProbe(database, clock),
        journal=IncidentJournal(settings.data_dir / "incidents"),
        clock=clock,
    )


def open_spool(settings: Settings) -> Spool:
    """The one of this host. Nothing is made before it is used."""
    return Spool(settings.data_dir / "spool", settings.spool_max_bytes)


def open_lookout(services: Services, *, is_web: bool = False) -> Lookout:
    """The lookout of a process: of the clock, or of web, which watches the clock alone. It is to be started."""
    settings = services.settings
    return Lookout(
        services.database,
        services.journal,
        SurroundingsObserver(services.queues, services.spool, settings.data_dir, settings.spool_max_bytes),
        services.clock,
        is_web=is_web,
    )


def open_senders(settings: Settings) -> Mapping[str, Sender]:
    """Who is notified of incidents, by name; empty where nobody is."""
    private = settings.notify_allow_private
    found: list[Sender] = []
    if settings.notify_smtp_url and settings.notify_mail_from:
        found.append(MailSender(settings.notify_smtp_url, settings.notify_mail_from, settings.notify_mail_to))
    if settings.notify_webhook_url and settings.notify_webhook_secret:
        found.append(WebhookSender(settings.notify_webhook_url, settings.notify_webhook_secret, private))
    if settings.notify_slack_url:
        found.append(SlackSender(settings.notify_slack_url, private))
    if settings.notify_teams_url:
        found.append(TeamsSender(settings.notify_teams_url, private))
    if settings.notify_pagerduty_key:
        found.append(PagerDutySender(settings.notify_pagerduty_key, settings.notify_pagerduty_url, private))
    return {sender.name: sender for sender in found}


def open_courier(services: Services, *, is_web: bool = False) -> Courier:
    """The courier of a process, which is to be started."""
    settings = services.settings
    senders = open_senders(settings)
    rules = Rules(
        recipients=tuple(senders),
        after=timedelta(seconds=settings.notify_after),
        remind_every=timedelta(seconds=settings.notify_remind_every),
        severity=settings.notify_severity,
        kinds=settings.notify_kinds,
        quiet_hours=settings.notify_quiet_hours,
        zone=settings.notify_time_zone,
    )
    return Courier(
        services.database,
        services.journal,
        senders,
        rules,
        services.clock,
        heartbeat_url=settings.notify_heartbeat_url,
        may_be_private=settings.notify_allow_private,
        is_web=is_web,
    )


def refuse_private_addresses(settings: Settings) -> None:
    """To be called at the start: raises ConfigurationError where a name that is told of incidents leads to this host or
    to a private network. One that cannot be found now is looked at again with each sending."""
    if settings.notify_allow_private:
        return
    for name, address in settings.notify_addresses.items():
        parts = urlsplit(address)
        try:
            found = resolve(parts.hostname or "", parts.port or 443, _RESOLVED_WITHIN)
        except (OSError, UnicodeError):
            continue
        if any(is_private(where[0]) for _, _, _, where in found):
            refuse_private(settings, name)


def open_proof(settings: Settings, connections: int) -> ProofClient:
    """A client that keeps so many connections. Raises ConfigurationError where Proof's URL is unset."""
    if settings.proof_api_url is None:
        raise ConfigurationError(
            "PROOF_API_URL is not set: set it, and PROOF_CLIENT_TOKEN with it, or start everything with "
            "`webhook-app run`, which brings a sandbox."
        )
    return ProofClient(
        settings.proof_api_url,
        settings.proof_client_tokens,
        connect_timeout=settings.proof_connect_timeout,
        read_timeout=settings.proof_read_timeout,
        pool_size=connections,
        origin=settings.proof_origin,
    )


def open_reconciler(services: Services, *, threads: int) -> Reconciler:
    """The reconciler with its Proof client. Raises ConfigurationError where Proof's URL is unset."""
    settings = services.settings
    return Reconciler(
        database=services.database,
        proof=open_proof(settings, threads),
        policy=Policy(settings.budget, settings.limits, settings.cadence),
        lease=settings.lease,
        clock=services.clock,
        rng=random.Random(),
        totals=services.totals,
    )
