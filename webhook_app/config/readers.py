"""The values of environment variables: each reader takes the text and returns the value, or raises ValueError with what
is allowed, as the end of the sentence "it must be …". `integer`, `number`, `url` and `one_of` make such readers."""

from __future__ import annotations

import ipaddress
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, SAWarning

from webhook_app.domain.websocket_address import complete_template

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


def is_sqlite_url(text: str) -> bool:
    return make_url(text).get_backend_name() == "sqlite"


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
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None or (driver == "sqlite+pysqlite" and parsed.database in (None, "", ":memory:")):
        raise ValueError("the URL of a PostgreSQL database or of an SQLite file")
    parsed = parsed.set(drivername=driver)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # of a parameter that would be ignored
            parsed.get_dialect()().create_connect_args(parsed)
        integer(0, 10_000)(str(parsed.query.get("prepare_threshold", "0")))  # of psycopg, and no part of its URLs
    except (ArgumentError, ValueError, TypeError, SAWarning):
        raise ValueError("a database URL whose parameters its driver understands") from None
    return parsed.render_as_string(hide_password=False)


_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}


def url(*schemes: str) -> Callable[[str], str]:
    """A base, behind which more is put: a slash at its end says nothing."""
    whole = address(*schemes)
    return lambda text: whole(text).rstrip("/")


def address(*schemes: str) -> Callable[[str], str]:
    """What is asked for just as it is given."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            complete = parts.scheme in schemes and text.isprintable() and " " not in text
            if parts.scheme == "unix":
                complete = complete and bool(parts.path)
            else:
                complete = complete and _is_host(parts.hostname or "") and parts.port != 0
        except ValueError:
            complete = False
        if not complete:
            raise ValueError("a complete URL that starts with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return text

    return parse


def read_proof_url(text: str) -> str:
    """A base URL: what is asked for is put behind it, and the token goes in a header."""
    checked = url("https", "http")(text)
    parts = urlsplit(checked)
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in checked or "#" in checked:
        raise ValueError(
            "a base URL, https://host[:port][/prefix], without a user, a question mark or a number sign: the token "
            "belongs in PROOF_CLIENT_TOKEN"
        )
    return checked


def read_websocket_url(text: str) -> str:
    """A template (`domain/websocket_address.py`)."""
    try:
        template = complete_template(text)
        checked = url("wss", "ws")(template)
        if "@" in urlsplit(checked).netloc or "#" in checked:
            raise ValueError
    except ValueError:
        raise ValueError(
            "a URL that starts with wss:// or ws://, without a user or a number sign, and with at most {tx_id} or "
            "{user_id}, and {token}, in its query"
        ) from None
    return template


def read_redis_url(text: str) -> str:
    # Here, for it is half of what a command takes to start, and most have no use for it.
    from redis import Redis
    from redis.exceptions import RedisError

    checked = url("redis", "rediss", "unix")(text)
    unknown = [name for name in parse_qs(urlsplit(checked).query) if name not in _REDIS_PARAMETERS]
    try:
        if not unknown:
            Redis.from_url(checked).connection_pool.make_connection()  # without connecting
            return checked
    except (RedisError, ValueError, TypeError, OSError):
        pass
    raise ValueError(f"a Redis URL; the parameters it may have are {', '.join(sorted(_REDIS_PARAMETERS))}")


def read_key_prefix(text: str) -> str:
    """As RQ takes it (`rq/defaults.py`), without braces, which mean a part of a cluster."""
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", text):
        raise ValueError("1 to 64 letters, digits, or _ . : -")
    return text


#: What redis-py reads from a URL and does not change what it answers.
_REDIS_PARAMETERS = frozenset(
    (
        *("db", "username", "password", "client_name", "protocol"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
        *("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"),
    )
)


def _is_host(host: str) -> bool:
    """Whether a connection can be tried: an address, or a name that DNS can hold."""
    try:
        if ":" in host:
            ipaddress.ip_address(host.partition("%")[0])
            return True
        host.encode("idna")  # refuses parts that are empty or too long
        return re.fullmatch(r"[A-Za-z0-9._-]+", host) is not None
    except ValueError:
        return False


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"a number from {low:.12g} to {high:.12g}")
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


def read_proxy_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    if not secrets or not all(
        len(secret) >= 16 and secret.isascii() and secret.isprintable() and " " not in secret for secret in secrets
    ):
        raise ValueError("one or more secrets separated by commas, each of at least 16 characters of ASCII, no blanks")
    return secrets


def read_networks(text: str) -> tuple[Network, ...]:
    try:
        networks = tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"addresses and CIDR ranges separated by commas ({error})") from None
    if not networks:  # nobody means "everybody" by a comma
        raise ValueError("addresses and CIDR ranges separated by commas")
    return networks


def read_origin(text: str) -> str:
    """The value of an `Origin` header (RFC 6454, 6.2): scheme, host and perhaps a port, and nothing behind them."""
    checked = url("https", "http")(text)
    if checked != text or not re.fullmatch(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/?#@:]+)(?::[0-9]+)?", text):
        raise ValueError("an origin, https://host[:port], with nothing behind it")
    return text


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
