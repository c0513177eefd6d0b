"""The values of environment variables: each reader takes the text and returns the value, or raises ValueError with what
is allowed, as the end of the sentence "it must be …". `integer`, `number`, `url` and `one_of` make such readers."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A password may hold any character: it ends at the last @, also in a URL that is not well formed.
_PASSWORD = re.compile(r"^((?:[A-Za-z0-9+.-]*:?//)?+[^:@/]*):.*@", re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """A URL for people to read, its passwords masked."""
    return _SECRET_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def sqlite_url(path: Path) -> str:
    """The URL of a file whose name may hold what means something in a URL."""
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def read_folder(text: str) -> Path:
    return Path(text).resolve()


def read_database_url(text: str) -> str:
    if text.startswith("postgres://"):
        text = "postgresql://" + text.removeprefix("postgres://")
    try:
        parsed = make_url(text)
        urlsplit(text)  # refuses half an IPv6 address
    except (ArgumentError, ValueError):
        raise ValueError("a database URL, such as postgresql://user:password@host/name") from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite").render_as_string(hide_password=False)
    raise ValueError("the URL of a PostgreSQL database or of an SQLite file")


def url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            complete = parts.scheme in schemes and bool(parts.path if parts.scheme == "unix" else parts.hostname)
            complete = complete and (parts.scheme == "unix" or parts.port is None or parts.port > 0)
        except ValueError:
            complete = False
        if not complete:
            raise ValueError("a complete URL that starts with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return text.rstrip("/")

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return value

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text.lower()

    return parse


def read_tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(part.strip() for part in text.split(",") if part.strip())
    if not tokens or not all(token.isascii() and token.isprintable() and " " not in token for token in tokens):
        raise ValueError("one token, or several separated by commas, of printable ASCII without spaces")
    return tokens


def read_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    allowed = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    if not secrets or not all(len(secret) >= 8 and allowed.issuperset(secret) for secret in secrets):
        raise ValueError("one or more secrets separated by commas, each of at least 8 letters, digits, or - . _ ~")
    return secrets


def read_networks(text: str) -> tuple[Network, ...]:
    try:
        networks = tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"addresses and CIDR ranges separated by commas ({error})") from None
    if not networks:  # nobody means "everybody" by a comma
        raise ValueError("addresses and CIDR ranges separated by commas")
    return networks


def read_header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        raise ValueError("the name of an HTTP header, such as X-Forwarded-User")
    return text


def read_listen_address(text: str) -> str:
    """The web server listens on addresses, not on names."""
    if text.lower() == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("an IP address, such as 127.0.0.1, 0.0.0.0 or ::1") from None


def read_secret_key(text: str) -> str:
    if len(text) < 16:
        raise ValueError("at least 16 characters")
    return text
