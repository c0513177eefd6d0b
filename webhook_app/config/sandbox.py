"""The stand-in for Proof."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.config.readers import integer, number, url
from webhook_app.config.variables import variable


@dataclass(frozen=True)
class SandboxSettings:
    sandbox_port: int = variable(
        "8001", integer(1, 65535), "port of the sandbox; `run` takes a free one where it is occupied"
    )
    sandbox_webhook_url: str | None = variable(
        None, url("http", "https"), "where the sandbox sends its webhooks; `run` fills it in"
    )
    sandbox_speed: float = variable(
        "1", number(0.01, 10_000), "how many times faster than people the sandbox's payments move"
    )
    sandbox_traffic: float = variable(
        "6", number(0, 60_000), "payments a minute that the sandbox starts by itself; 0: none"
    )
