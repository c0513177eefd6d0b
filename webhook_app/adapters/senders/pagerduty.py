"""To PagerDuty's Events API v2: an incident of ours triggers an alert, and its end resolves the same one."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.adapters.senders.sender import post_json
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.timestamps import format_timestamp


@dataclass(frozen=True)
class PagerDutySender:
    key: str
    url: str
    may_be_private: bool
    name: str = "pagerduty"

    def send(self, notice: Notice) -> None:
        """A test is an alert of mere information."""
        body = {
            "routing_key": self.key,
            "event_action": "resolve" if notice.change is Change.ENDED else "trigger",
            "dedup_key": notice.thread,
            "payload": {
                "summary": notice.title[:1024],
                "source": "webhook-app",
                "severity": "info" if notice.change is Change.TEST else str(notice.severity),
                "timestamp": format_timestamp(notice.began_at),
                "class": notice.kind,
                "custom_details": {"told": " ".join(notice.lines)},
            },
        }
        post_json(self.url, body, may_be_private=self.may_be_private)
