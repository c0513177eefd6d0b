"""Where web listens, and what it grants a client."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.config.readers import integer, number, read_listen_address
from webhook_app.config.variables import variable


@dataclass(frozen=True)
class WebSettings:
    host: str = variable("127.0.0.1", read_listen_address, "address where web listens")
    port: int = variable("8000", integer(1, 65535), "port where web listens")
    web_workers: int = variable("1", integer(1, 64), "web processes")
    web_silence_limit: float = variable(
        "10", number(2, 3600), "seconds after which a web process that no longer answers is replaced"
    )
    http_header_timeout: float = variable(
        "5", number(0.1, 3600), "seconds for a request's headers; an idle connection is kept as long"
    )
    http_body_timeout: float = variable("5", number(0.1, 3600), "seconds for a request's whole body")
    http_send_timeout: float = variable(
        "60", number(1, 3600), "seconds for which a client may take nothing of its answer"
    )
    http_max_connections: int = variable(
        "8192", integer(64, 1_000_000), "connections of one web process, idle ones too"
    )
    http_max_bodies: int = variable("1024", integer(8, 1_000_000), "bodies under way in one web process")
    http_max_bodies_per_client: int = variable(
        "128", integer(1, 1_000_000), "bodies under way of one client: an IPv4 address, or the /64 of one of IPv6"
    )
