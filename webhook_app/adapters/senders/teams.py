"""To a workflow of Microsoft Teams that takes an Adaptive Card, as its incoming webhooks do now."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.adapters.senders.sender import post_json
from webhook_app.domain.notices import Notice


@dataclass(frozen=True)
class TeamsSender:
    url: str
    may_be_private: bool
    name: str = "teams"

    def send(self, notice: Notice) -> None:
        blocks = [{"type": "TextBlock", "text": notice.title, "weight": "Bolder", "size": "Medium", "wrap": True}]
        blocks += [{"type": "TextBlock", "text": line, "wrap": True} for line in notice.lines]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": blocks,
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        body = {"type": "message", "attachments": [attachment]}
        post_json(self.url, body, may_be_private=self.may_be_private)
