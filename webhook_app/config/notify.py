"""Who is told of incidents, of which, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from webhook_app.config.notify_readers import (
    read_flag,
    read_incident_kinds,
    read_mail_address,
    read_mail_addresses,
    read_quiet_hours,
    read_routing_key,
    read_severity,
    read_signing_secret,
)
from webhook_app.config.readers import address, number, url
from webhook_app.config.variables import variable
from webhook_app.domain.notices import QuietHours
from webhook_app.domain.severity import Severity
from webhook_app.domain.time_zones import read_zone


@dataclass(frozen=True)
class NotifySettings:
    notify_webhook_url: str | None = variable(
        None, address("https", "http"), "where incidents are sent, signed by Standard Webhooks", secret=True
    )
    notify_webhook_secret: str | None = variable(
        None, read_signing_secret, "signs them: `whsec_` and 24 to 64 bytes in base64", secret=True
    )
    notify_slack_url: str | None = variable(
        None, address("https", "http"), "incoming webhook of Slack, or of what takes the same", secret=True
    )
    notify_teams_url: str | None = variable(
        None, address("https", "http"), "workflow of Microsoft Teams that takes an Adaptive Card", secret=True
    )
    notify_pagerduty_key: str | None = variable(
        None, read_routing_key, "integration key of PagerDuty's Events API v2", secret=True
    )
    notify_pagerduty_url: str = variable(
        "https://events.pagerduty.com/v2/enqueue", address("https", "http"), "where PagerDuty takes events"
    )
    notify_smtp_url: str | None = variable(
        None,
        url("smtp", "smtps"),
        "mail server, smtp://user:password@host:587 or smtps://…; needs NOTIFY_MAIL_FROM and NOTIFY_MAIL_TO",
        secret=True,
    )
    notify_mail_from: str | None = variable(None, read_mail_address, "sender of these mails")
    notify_mail_to: tuple[str, ...] = variable(
        None, read_mail_addresses, "who gets these mails, separated by commas", unset=()
    )
    notify_severity: Severity = variable(  # noqa: RUF009 - it makes a dataclass field
        "warning", read_severity, "least severe incidents that are sent: critical, warning or info"
    )
    notify_kinds: tuple[str, ...] = variable(
        None, read_incident_kinds, "kinds of incident that are sent, separated by commas; unset: all", unset=()
    )
    notify_after: float = variable(
        "60", number(0, 86_400), "seconds that an incident must last before it is sent; 0: at once"
    )
    notify_remind_every: float = variable(
        "14400", number(0, 604_800), "seconds between two reminders of one that is still open; 0: none"
    )
    notify_quiet_hours: QuietHours | None = variable(  # noqa: RUF009 - it makes a dataclass field
        None,
        read_quiet_hours,
        "when only critical incidents are sent, such as 22:00-07:00; the others wait for its end",
    )
    notify_time_zone: ZoneInfo = variable(  # noqa: RUF009 - it makes a dataclass field
        "UTC", read_zone, "time zone of NOTIFY_QUIET_HOURS, such as Europe/Paris"
    )
    notify_heartbeat_url: str | None = variable(
        None,
        address("https", "http"),
        "is asked for by GET each minute while all lives, so that a watcher outside misses it when the host dies",
        secret=True,
    )
    notify_allow_private: bool = variable(
        "false", read_flag, "whether the addresses above may be of this host or of a private network; mail always may"
    )

    @property
    def notify_addresses(self) -> Mapping[str, str]:
        """Where HTTP requests go because of incidents, by the variable that says so."""
        found = {
            "NOTIFY_WEBHOOK_URL": self.notify_webhook_url,
            "NOTIFY_SLACK_URL": self.notify_slack_url,
            "NOTIFY_TEAMS_URL": self.notify_teams_url,
            "NOTIFY_PAGERDUTY_URL": self.notify_pagerduty_url if self.notify_pagerduty_key else None,
            "NOTIFY_HEARTBEAT_URL": self.notify_heartbeat_url,
        }
        return {name: address for name, address in found.items() if address}
