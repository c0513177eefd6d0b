"""`webhook-app doctor --go-live`: Proof's checklist for partners, and what production asks of us, point by point.

`✗` is to be mended before real payments, `!` is to be known, `?` nobody can see from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import urllib3
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import SSLError as TLSError

from webhook_app.config import Settings
from webhook_app.config.readers import is_sqlite_url
from webhook_app.db.database import Database, missing_file
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Account, ApiToken
from webhook_app.models.role import Role
from webhook_app.run.diagnosis import Finding
from webhook_app.run.plan import WEBHOOKS
from webhook_app.services import open_senders

#: Seconds by which two clocks may differ: leases and probes are planned in seconds.
MOST_SKEW = 5.0
_SECONDS = 10.0
#: Characters of a webhook secret that cannot be guessed.
_LONG_ENOUGH = 24
#: The token that `run` makes at its first start.
_FIRST_TOKEN = "make-run"  # noqa: S105 - a name


def check_go_live(settings: Settings, url: str | None) -> list[Finding]:
    """One finding for each point. `url` is our public address; without it, what only that can show is asked for."""
    return [
        *_check_proof(settings),
        *_check_webhooks(settings, url),
        *_check_storage(settings),
        *_check_people(settings),
        *_check_notified(settings),
    ]


def _well(what: str) -> Finding:
    return Finding(f"✓ go-live: {what}")


def _wrong(what: str) -> Finding:
    return Finding(f"✗ go-live: {what}", is_well=False)


def _known(what: str) -> Finding:
    return Finding(f"! go-live: {what}")


def _unseen(what: str) -> Finding:
    return Finding(f"? go-live: {what}")


def _check_proof(settings: Settings) -> Iterator[Finding]:
    if settings.proof_api_url is None or settings.is_sandbox:
        yield _wrong("PROOF_API_URL is a sandbox, where no real money moves: set Proof's production address")
    elif not settings.proof_api_url.startswith("https://"):
        yield _wrong("PROOF_API_URL is not https: the client token would go over the network for all to read")
    else:
        yield _well("PROOF_API_URL is a production address with TLS")
    if settings.proof_origin:
        yield _well(f"each call has the Origin {settings.proof_origin}; Proof must have registered it")
    else:
        yield _known(
            "Proof knows us by the address that our calls come from, which must be on its allowlist; where it asks for "
            "a registered origin instead, set PROOF_ORIGIN. The line `proof` above says whether it lets us in"
        )
    if settings.proof_api_url:
        yield from _check_clock_of(settings.proof_api_url)


def _check_clock_of(address: str) -> Iterator[Finding]:
    try:
        answer = urllib3.request("HEAD", address, retries=False, redirect=False, timeout=_SECONDS)
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except TLSError as error:
        yield _wrong(visible_line(f"no trusted connection to {address}: {error}"))
        return
    except (HTTPError, ValueError):
        return  # whether Proof answers at all, another line says
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    yield _compare_clocks("Proof's", told)


def _compare_clocks(whose: str, told: datetime) -> Finding:
    skew = abs((utc_now() - told).total_seconds())
    if skew > MOST_SKEW:
        return _wrong(f"this machine's clock and {whose} differ by {skew:.0f} s: let NTP or chrony set it")
    return _well(f"this machine's clock and {whose} agree")


def _check_webhooks(settings: Settings, url: str | None) -> Iterator[Finding]:
    shortest = min(map(len, settings.webhook_secrets), default=0)
    if shortest >= _LONG_ENOUGH:
        yield _well("PROOF_WEBHOOK_SECRETS is set")
    elif shortest:
        yield _wrong(f"a secret in PROOF_WEBHOOK_SECRETS has {shortest} characters: take at least {_LONG_ENOUGH}")
    elif settings.webhook_allowed_networks:
        yield _well("PROOF_WEBHOOK_ALLOWED_IPS says who may send webhooks")
    else:
        yield _wrong(
            "anybody may send webhooks: set PROOF_WEBHOOK_SECRETS, and give Proof the address with the secret in it"
        )
    if settings.trusted_proxy_hops:
        yield _well(f"{settings.trusted_proxy_hops} proxies in front are believed")
    else:
        yield _known(
            "TRUSTED_PROXY_HOPS is 0. The proxy that ends TLS has to be counted there, or the sender of every webhook "
            "is the proxy, and sessions do not know that they came by TLS (docs/proxies.md)"
        )
    if url is None:
        yield _unseen("whether Proof can reach us: add --url with our public address")
    else:
        yield from _call_ourselves(settings, url.rstrip("/"))


def _call_ourselves(settings: Settings, url: str) -> Iterator[Finding]:
    """As Proof would: by name, with TLS, and the secret. An empty event is refused, and that shows the way is open."""
    if urlsplit(url).scheme != "https":
        yield _wrong(f"{visible_line(url)} is not https: Proof would send payments, and the secret, for all to read")
        return
    path = "/".join([WEBHOOKS, *settings.webhook_secrets[:1]])
    shown = f"{visible_line(url)}{WEBHOOKS}{'/<secret>' if settings.webhook_secrets else ''}"
    try:
        answer = urllib3.request("POST", f"{url}{path}", json={}, retries=False, redirect=False, timeout=_SECONDS)
    except TLSError:
        yield _wrong(f"{visible_line(url)} has no certificate that is trusted: Proof would not send there")
        return
    except HTTPError as error:
        yield _wrong(f"{visible_line(url)} cannot be reached from here: {type(error).__name__}")
        return
    refused = answer.status == 400 and b"missing_param" in answer.data
    address_alone = answer.status == 403 and b"forbidden_origin" in answer.data
    if refused or address_alone:
        yield _well(f"{shown} is ours, with a trusted certificate")
    else:
        yield _wrong(f"{shown} answers {answer.status}, and not as we do: does the proxy hand on the path as it is?")


def _check_storage(settings: Settings) -> Iterator[Finding]:
    if is_sqlite_url(settings.database_url):
        yield _known(
            "SQLite keeps everything in one file on one host: right for one machine with a backup of it, wrong for "
            "several hosts. PostgreSQL is DATABASE_URL=postgresql://…"
        )
    else:
        yield _well("PostgreSQL")
        yield from _check_postgresql(settings)
    if settings.redis_url is None or settings.redis_url.startswith("unix://"):
        yield _known("the embedded Redis, of this host alone; nothing of value is in it")
    else:
        yield _well("Redis is a server of its own")
    if settings.secret_key is None:
        yield _known("SECRET_KEY is not set: `run` keeps one in the data folder; several hosts need the same one")
    yield _unseen(
        "whether there is a backup that was restored once: of the database, and of the data folder, whose spool holds "
        "what SQL has not taken yet"
    )


def _check_postgresql(settings: Settings) -> Iterator[Finding]:
    with closing(Database(settings.database_url, pool_size=1)) as database:
        try:
            with database.read() as session:
                told = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        except SQLAlchemyError:
            return  # another line says so
    yield _compare_clocks("PostgreSQL's", told)


def _check_people(settings: Settings) -> Iterator[Finding]:
    if missing_file(settings.database_url) is not None:
        return
    active = (Account.role == Role.ADMIN, Account.disabled_at.is_(None))
    with closing(Database(settings.database_url, pool_size=1)) as database:
        try:
            with database.read() as session:
                admins = len(session.scalars(select(Account.id).where(*active).limit(2)).all())
                first = select(ApiToken.id).where(ApiToken.name == _FIRST_TOKEN, ApiToken.revoked_at.is_(None))
                has_first_token = session.scalar(first) is not None
        except SQLAlchemyError:
            return
    yield (
        _well("there is an admin")
        if admins
        else _wrong("nobody is admin: `webhook-app users create NAME --role admin`")
    )
    if has_first_token:
        yield _known(f"the token {_FIRST_TOKEN} of the first start may do everything: revoke it if nobody needs it")


def _check_notified(settings: Settings) -> Iterator[Finding]:
    names = " and ".join(open_senders(settings))
    if names:
        yield _well(f"incidents are told to {names}; `webhook-app notify --test` shows whether that arrives")
    else:
        yield _known(
            "nobody is notified of incidents: set NOTIFY_… (docs/notifications.md), unless Prometheus has the rules of "
            "deploy/ and tells somebody"
        )
    if settings.notify_heartbeat_url is None:
        yield _known("NOTIFY_HEARTBEAT_URL is not set: where the whole host dies, nobody is told")
