"""Configuration: each wrong value is told in one sentence, secrets stay secret, the docs list what there is."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from webhook_app.config import VARIABLES, ConfigurationError, Variable, describe_settings, load_settings
from webhook_app.db.database import Database

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
SECRET = "hunter2-hunter2"

WRONG_INTEGERS = ["x", "1.5", "-1", "+1", "1e3", "1_0", "٣", "9" * 5000, "0x10", "1 2"]
WRONG_NUMBERS = ["x", "nan", "inf", "-1", "-inf", "1e999", "1,5", "1 2", "1_000", "٣٦٠٠", "6h", "0x10"]
WRONG_URLS = [
    "x",
    "//host",
    "ftp://host",
    "host:80",
    "{scheme}://",
    "{scheme}://:80",
    "{scheme}://h:x",
    "{scheme}://[::1",
]

WRONG_DATABASE_URLS = [
    "x",
    "mysql://u:p@h/d",
    "oracle://h",
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    "postgresql://h:x/d",
    "postgresql://[::1/d",
    "postgresql://h/d?prepare_threshold=-1",
    "postgresql://h/d?prepare_threshold=1&prepare_threshold=2",
    "/a/path",
    "postgres",
]

WRONG: dict[str, list[str]] = {
    "PENDING_ALERT_AFTER_BUY": WRONG_NUMBERS,
    "PENDING_ALERT_AFTER_SELL": WRONG_NUMBERS,
    "DATABASE_URL": WRONG_DATABASE_URLS,
    "DATABASE_MIGRATION_URL": WRONG_DATABASE_URLS,
    "REDIS_URL": [*(url.format(scheme="redis") for url in WRONG_URLS), "http://host", "unix://", "redis://h:0"],
    "PROOF_API_URL": [*(url.format(scheme="https") for url in WRONG_URLS), "redis://host", "https://h:99999"],
    "PROOF_ORIGIN": ["x", "ftp://host", "https://h/", "https://h/path", "https://u@h", "https://h?q", "https://h#f"],
    "PROOF_WS_URL": [
        *(url.format(scheme="wss") for url in WRONG_URLS),
        *("https://host/ws", "wss://u@host/ws", "wss://host/ws#f", "wss://host/ws?x={other}"),
        *("wss://host/ws?tx_id={tx_id}&user_id={user_id}", "wss://host/{token}?user_id={user_id}"),
    ],
    "PROOF_CLIENT_TOKEN": [",", "a b", "é", "a\tb", "a,b c"],
    "PROOF_WEBHOOK_SECRETS": [",", "short", "long-enough,short", "with space", "with/slash", "with%20pc", "é" * 8],
    "PROOF_WEBHOOK_ALLOWED_IPS": [",", "x", "1.2.3", "1.2.3.4/33", "1.2.3.4,x", "::1/129", "host.example"],
    "METRICS_ALLOWED_IPS": [",", "x", "1.2.3.4/33"],
    "SENTRY_DSN": ["x", "ftp://host"],
    "TRUSTED_USER_HEADER": ["two words", "colon:", "é", "a/b"],
    "TRUSTED_USER_SECRET": [",", "short", "x" * 15, "has a blank in the middle", "é" * 16, "long-enough-for-one,short"],
    "TRUSTED_USER_PROXIES": [",", "x", "1.2.3.4/33"],
    "SESSION_COOKIE_SECURE": ["never", "true"],
    "SECRET_KEY": ["short", "x" * 15],
    **{
        name: [url.format(scheme="https") for url in WRONG_URLS]
        for name in (
            *("NOTIFY_WEBHOOK_URL", "NOTIFY_SLACK_URL", "NOTIFY_TEAMS_URL", "NOTIFY_PAGERDUTY_URL"),
            "NOTIFY_HEARTBEAT_URL",
        )
    },
    "NOTIFY_SMTP_URL": [url.format(scheme="smtp") for url in WRONG_URLS],
    "NOTIFY_WEBHOOK_SECRET": ["x", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64", "A" * 40],
    "NOTIFY_PAGERDUTY_KEY": ["short", "two words", "é" * 8],
    "NOTIFY_MAIL_FROM": ["x", "a@b@c", "a b@c.example", "A <a@c.example>"],
    "NOTIFY_MAIL_TO": [",", "x", "a@c.example,b"],
    "NOTIFY_SEVERITY": ["error", "2"],
    "NOTIFY_KINDS": [",", "x", "sql_away,x"],
    "NOTIFY_QUIET_HOURS": ["22-7", "22:00-24:00", "7:00-8:00", "22:00-22:00"],
    "NOTIFY_TIME_ZONE": ["Mars/Base", "GMT+25"],
    "NOTIFY_ALLOW_PRIVATE": ["yes", "1"],
    "TRACING": ["yes", "1"],
    "RQ_KEY_PREFIX": ["a b", "%s", "{0}", "é", "x" * 65],
    "HOST": ["x", "nonsense!", "1.2.3", "host.example", "127.0.0.1:80"],
    "LOG_FORMAT": ["xml", "json,console"],
    "LOG_LEVEL": ["loud", "7", "critical"],
    "SANDBOX_WEBHOOK_URL": [url.format(scheme="http") for url in WRONG_URLS],
    "WEBHOOK_APP_DATA_DIR": [],
    **{
        name: [*WRONG_INTEGERS, *more]
        for name, more in {
            "TRUSTED_PROXY_HOPS": ["11"],
            "PORT": ["0", "65536"],
            "SANDBOX_PORT": ["0", "65536"],
            "WEB_WORKERS": ["0", "65"],
            "RETRY_MAX_ATTEMPTS": ["0"],
            "PAUSE_AFTER_FAILURES": ["0"],
            "PROOF_MAX_CONCURRENCY": ["0"],
            "LISTEN_MAX_CONNECTIONS": ["0"],
        }.items()
    },
}


def wrong_values(variable: Variable) -> list[str]:
    if variable.name in WRONG:
        return WRONG[variable.name]
    assert variable.default is not None, f"say what is wrong for {variable.name}"
    return WRONG_INTEGERS if "whole number" in _complaint(variable, "x") else WRONG_NUMBERS


def _complaint(variable: Variable, value: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({variable.name: value})
    return str(caught.value)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_wrong_value_is_told_with_what_was_found_and_what_is_allowed(variable: Variable) -> None:
    for value in wrong_values(variable):
        told = _complaint(variable, value)
        assert told.startswith(f"{variable.name} is "), told
        assert ", but it must be " in told
        assert told.endswith(".")
        assert "\n" not in told
        assert "Error" not in told
        assert "literal" not in told
        assert "e+" not in told, "a number as people write it"
        if variable.secret:
            assert repr(value) not in told
            assert "kept secret" in told
        elif ":p@" not in value:
            assert repr(value) in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://user:{SECRET}@host/db"),
        ("DATABASE_URL", f"postgresql//user:{SECRET}@host/db"),
        ("DATABASE_URL", f"postgresql:user:{SECRET}@host/db"),
        ("DATABASE_URL", f"postgresql://user:{SECRET}@host:x/db"),
        ("DATABASE_URL", f"mysql://user:a/b@{SECRET}@[host/db"),
        ("DATABASE_URL", f"mysql://host/db?user=u&password={SECRET}"),
        ("REDIS_URL", f"redis://:{SECRET}@host:x"),
        ("REDIS_URL", f"rediss//:{SECRET}@host"),
        ("PROOF_API_URL", f"ftp://user:{SECRET}@host"),
        ("PROOF_CLIENT_TOKEN", f"{SECRET} {SECRET}"),
        ("PROOF_WEBHOOK_SECRETS", f"{SECRET} {SECRET}"),
        ("PROOF_WEBHOOK_SECRETS", f"{SECRET},short"),
    ],
)
def test_error_shows_no_secret(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: value})
    assert SECRET not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("DATABASE_URL", f"postgresql://user:{SECRET}@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("DATABASE_URL", f"postgresql://user:{SECRET}@{SECRET}@host/db", "postgresql://user:***@host/db"),
        ("DATABASE_URL", "postgresql://user@host:5432/db", "postgresql://user@host:5432/db"),
        ("DATABASE_URL", f"postgresql:///db?host=h&password={SECRET}", "postgresql:///db?host=h&password=***"),
        ("DATABASE_URL", "sqlite:////tmp/a.sqlite3", "sqlite:////tmp/a.sqlite3"),
        ("DATABASE_MIGRATION_URL", f"postgresql://user:{SECRET}@host/db", "postgresql://user:***@host/db"),
        ("REDIS_URL", f"redis://:{SECRET}@host:6379/0", "redis://:***@host:6379/0"),
        ("REDIS_URL", f"unix:///run/redis.sock?password={SECRET}&db=1", "unix:///run/redis.sock?password=***&db=1"),
        ("PROOF_CLIENT_TOKEN", SECRET, "(set)"),
        ("PROOF_WEBHOOK_SECRETS", f"{SECRET},{SECRET}", "(set)"),
        ("SECRET_KEY", SECRET * 2, "(set)"),
        ("SECRET_KEY", "", "(unset)"),
        ("PORT", "", "8000 (default)"),
        ("PORT", "  ", "8000 (default)"),
        ("PORT", " 9000 ", "9000"),
        ("PROOF_WEBHOOK_ALLOWED_IPS", "2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_what_is_in_force_is_shown_without_secrets(name: str, value: str, shown: str) -> None:
    described = {variable.name: text for variable, text in describe_settings({name: value})}
    assert described[name] == shown
    assert SECRET not in str(described)


def test_secret_of_webhooks_is_shown_in_no_address_either() -> None:
    url = f"http://host/webhooks/proof/{SECRET}"
    described = describe_settings({"PROOF_WEBHOOK_SECRETS": f"another-one, {SECRET}", "SANDBOX_WEBHOOK_URL": url})
    assert SECRET not in str(described)
    assert "http://host/webhooks/proof/***" in str(described)


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_empty_variable_counts_as_unset(blank: str) -> None:
    assert load_settings(dict.fromkeys((variable.name for variable in VARIABLES), blank)) == load_settings({})


def test_defaults() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.trusted_proxy_hops) == ("127.0.0.1", 8000, 0)
    assert settings.data_dir == Path("var").resolve()
    assert settings.database_url == f"sqlite+pysqlite:///{settings.data_dir}/webhook-app.sqlite3"
    assert (settings.redis_url, settings.proof_api_url, settings.secret_key) == (None, None, None)
    assert (settings.webhook_secrets, settings.webhook_allowed_networks, settings.proof_client_tokens) == ((), (), ())


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_postgresql_is_spoken_to_with_psycopg_however_its_url_begins(scheme: str) -> None:
    settings = load_settings({"DATABASE_URL": f"{scheme}://u:p%40@h:5433/d?sslmode=require"})
    assert settings.database_url == "postgresql+psycopg://u:p%40@h:5433/d?sslmode=require"


def test_migrations_go_by_the_databases_address_unless_they_have_one_of_their_own() -> None:
    pooled, direct = "postgresql+psycopg://u:p@pooler/d", "postgresql+psycopg://u:p@h/d"
    assert load_settings({"DATABASE_URL": pooled}).database_migration_url == pooled
    settings = load_settings({"DATABASE_URL": pooled, "DATABASE_MIGRATION_URL": direct})
    assert (settings.database_url, settings.database_migration_url) == (pooled, direct)
    with pytest.raises(ConfigurationError, match="must lead to one database"):
        load_settings({"DATABASE_MIGRATION_URL": direct})


def test_data_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what? #1 50%41 é"
    settings = load_settings({"WEBHOOK_APP_DATA_DIR": str(folder)})
    database = Database(settings.database_url)
    with database.read():
        pass
    database.engine.connect().close()
    database.close()
    assert (folder / "webhook-app.sqlite3").exists()


@pytest.mark.parametrize(
    ("name", "value", "attribute", "parsed"),
    [
        ("PROOF_CLIENT_TOKEN", "new, old ,", "proof_client_tokens", ("new", "old")),
        ("PROOF_WEBHOOK_SECRETS", "new-secret, old-secret", "webhook_secrets", ("new-secret", "old-secret")),
        (
            "PROOF_WEBHOOK_ALLOWED_IPS",
            "203.0.113.7, 10.1.2.3/8,2001:db8::/32",
            "webhook_allowed_networks",
            (ip_network("203.0.113.7/32"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        ),
        ("HOST", "localhost", "host", "127.0.0.1"),
        ("HOST", "::1", "host", "::1"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("SANDBOX_WEBHOOK_URL", "http://h:1/webhooks/proof/", "sandbox_webhook_url", "http://h:1/webhooks/proof"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1", "redis_url", "unix:///run/redis.sock?db=1"),
        ("PORT", " 9000 ", "port", 9000),
    ],
)
def test_value_is_read(name: str, value: str, attribute: str, parsed: object) -> None:
    assert getattr(load_settings({name: value}), attribute) == parsed


def test_proofs_url_needs_a_token() -> None:
    with pytest.raises(ConfigurationError, match="PROOF_CLIENT_TOKEN is not set, but PROOF_API_URL is"):
        load_settings({"PROOF_API_URL": "https://api.example"})


def test_page_lists_every_variable_with_its_default() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{variable.name}` | {f'`{variable.default}`' if variable.default else 'unset'} | {variable.meaning}"
        f"{'; a secret, never shown' if variable.secret else ''} |"
        for variable in VARIABLES
    ]


def test_meaning_of_every_number_names_its_unit() -> None:
    units = ("second", "port", "attempts", "calls", "processes", "proxies", "transactions", "bytes", "times", "steps")
    for variable in VARIABLES:
        if variable.default and variable.name != "HOST" and variable.default.replace(".", "").isdigit():
            assert any(unit in variable.meaning for unit in (*units, "payments", "connections", "bodies")), (
                variable.name
            )
