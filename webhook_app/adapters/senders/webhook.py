"""To a webhook of the partner's own, signed by Standard Webhooks."""

from __future__ import annotations

import json
from dataclasses import dataclass

from webhook_app.adapters.senders.sender import post_json
from webhook_app.domain.notices import Notice, sign


@dataclass(frozen=True)
class WebhookSender:
    url: str
    secret: str
    may_be_private: bool
    name: str = "webhook"

    def send(self, notice: Notice) -> None:
        body = json.dumps(notice.to_json()).encode()
        headers = sign(self.secret, notice.id, notice.at, body)
        post_json(self.url, body, may_be_private=self.may_be_private, headers=headers)
