"""To an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord behind `/slack`."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.adapters.senders.sender import post_json
from webhook_app.domain.notices import Notice


@dataclass(frozen=True)
class SlackSender:
    url: str
    may_be_private: bool
    name: str = "slack"

    def send(self, notice: Notice) -> None:
        told = "\n".join([f"*{_escaped(notice.title)}*", *map(_escaped, notice.lines)])
        post_json(self.url, {"text": told}, may_be_private=self.may_be_private)


def _escaped(text: str) -> str:
    """What Slack asks for (docs.slack.dev, "Formatting message text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
