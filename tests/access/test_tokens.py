"""API tokens: listed, revoked by name or id, ending by themselves; in a shell and on `/tokens`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from tests.support.clock import START, FakeClock
from tests.support.people import BROWSER, SHELL, csrf_token, post
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.last_use import LastUse
from webhook_app.usecases.access.tokens import (
    TokenUnusable,
    create_token,
    find_caller,
    list_tokens,
    revoke_token,
)
from webhook_app.usecases.audit import Actor, AuditFilter, list_entries
from webhook_app.usecases.refusals import Refused

API = "/api/v1/transactions"


def lets_in(database: Database, token: str, now: datetime = START) -> bool:
    with closing(LastUse(database)) as last_use:
        try:
            return find_caller(database, last_use, token, now) is not None
        except TokenUnusable:
            return False


def test_token_is_revoked_by_its_name_and_by_its_id(database: Database) -> None:
    by_name, by_id, kept = (create_token(database, name, Role.FINANCE, START) for name in ("ledger", "bi", "kept"))
    (id_of_bi,) = [token.id for token in list_tokens(database, START, 9).items if token.name == "bi"]
    revoke_token(database, "ledger", Actor("ada", "page"), START)
    revoke_token(database, str(id_of_bi), SHELL, START)
    assert [lets_in(database, token) for token in (by_name, by_id, kept)] == [False, False, True]
    entries = list_entries(database, AuditFilter(action=AuditAction.REVOKE_TOKEN), 9).items
    assert [(entry.actor, entry.via, entry.subject) for entry in entries] == [
        ("tester", "shell", "bi"),
        ("ada", "page", "ledger"),
    ]
    assert entries[0].details == {"id": id_of_bi, "role": "finance"}


def test_what_cannot_be_revoked_is_told(database: Database) -> None:
    tokens = [create_token(database, "twice", Role.FINANCE, START) for _ in range(2)]
    ids = sorted(token.id for token in list_tokens(database, START, 9).items)
    for unknown in ("nothing", "7777", "", "x" * 500, "9" * 500, "a\x00b", "\ud800"):
        with pytest.raises(Refused, match="There is no token"):
            revoke_token(database, unknown, SHELL, START)
    with pytest.raises(Refused, match=f"2 active tokens have the name twice; revoke one by its id: {ids[0]}, "):
        revoke_token(database, "twice", SHELL, START)
    assert all(lets_in(database, token) for token in tokens)
    revoke_token(database, str(ids[0]), SHELL, START)
    assert revoke_token(database, "twice", SHELL, START).id == ids[1], "the one that still lets somebody in"
    with pytest.raises(Refused, match="is revoked already"):
        revoke_token(database, "twice", SHELL, START)
    assert len(list_entries(database, AuditFilter(action=AuditAction.REVOKE_TOKEN), 9).items) == 2


def test_use_is_noted_again_after_a_clock_was_set_back(database: Database) -> None:
    token, years = create_token(database, "shop", Role.SERVICE, START), timedelta(days=3650)
    for now in (START + years, START):
        with closing(LastUse(database)) as last_use:
            assert find_caller(database, last_use, token, now)
            last_use.flush()
        assert [one.last_used_at for one in list_tokens(database, START, 9).items] == [now]


def test_list_shows_states_and_narrows(database: Database) -> None:
    create_token(database, "gone", Role.ADMIN, START)
    create_token(database, "ends", Role.SERVICE, START, expires_at=START + timedelta(days=1))
    create_token(database, "stays", Role.FINANCE, START)
    revoke_token(database, "gone", SHELL, START)
    later = START + timedelta(days=1)
    assert [(token.name, token.state) for token in list_tokens(database, later, 9).items] == [
        ("stays", "active"),
        ("ends", "expired"),
        ("gone", "revoked"),
    ]
    assert [token.name for token in list_tokens(database, later, 9, only_active=True).items] == ["stays"]
    assert [token.state for token in list_tokens(database, START, 9).items] == ["active", "active", "revoked"]
    first = list_tokens(database, START, 2)
    assert [token.name for token in list_tokens(database, START, 2, after=first.next_after).items] == ["gone"]


@pytest.mark.parametrize("name", ["", "  ", "a\tb", "a\nb", "a\x9bb", "\u202ex", "x" * 129, "12"])
def test_name_that_could_not_be_listed_or_revoked_is_refused(database: Database, name: str) -> None:
    with pytest.raises(Refused, match="A token's name must"):
        create_token(database, name, Role.ADMIN, START)


def test_token_cannot_end_before_it_begins(database: Database) -> None:
    with pytest.raises(Refused, match="cannot expire at 2026-04-01T12:00:00Z, for that is past"):
        create_token(database, "a", Role.ADMIN, START, expires_at=START)


class TestCommands:
    @pytest.fixture
    def run(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
        monkeypatch.setenv("DATABASE_URL", database_url)
        return CliRunner()

    def test_token_is_made_listed_and_revoked(self, run: CliRunner, database: Database) -> None:
        made = run.invoke(cli, ["tokens", "create", "ledger", "--role", "finance", "--expires", "90d"])
        assert made.exit_code == 0, made.output
        assert made.stderr.startswith("It ends on ")
        token = made.stdout.splitlines()[-1]
        now = datetime.now(UTC)
        (listed,) = list_tokens(database, now, 9).items
        assert listed.expires_at is not None
        assert timedelta(days=89, hours=23) < listed.expires_at - now < timedelta(days=90)
        row = run.invoke(cli, ["tokens", "list"]).stdout.removesuffix("\n").split("\t")
        assert row[:4] == [str(listed.id), "ledger", "finance", "active"]
        assert row[6] == "never"
        assert len(row) == 7
        assert lets_in(database, token, now)
        assert run.invoke(cli, ["tokens", "list"]).stdout.split("\t")[6].startswith(f"{now:%Y-%m-%dT%H:%M}")
        revoked = run.invoke(cli, ["tokens", "revoke", "ledger"])
        assert revoked.stdout == f"The token ledger (id {listed.id}) is revoked.\n"
        assert not lets_in(database, token, now)
        assert run.invoke(cli, ["tokens", "list", "--active"]).stdout == ""
        again = run.invoke(cli, ["tokens", "revoke", "ledger"])
        assert (again.exit_code, again.stderr) == (
            1,
            f"Error: The token ledger (id {listed.id}) is revoked already.\n",
        )

    def test_date_is_when_it_ends(self, run: CliRunner, database: Database) -> None:
        made = run.invoke(cli, ["tokens", "create", "a", "--role", "admin", "--expires", "2999-12-31"])
        assert made.stderr == "It ends on 2999-12-31T00:00:00Z.\n"
        assert list_tokens(database, START, 9).items[0].expires_at == datetime(2999, 12, 31, tzinfo=UTC)

    def test_expiry_that_makes_no_sense_is_told(self, run: CliRunner, database: Database) -> None:
        for expires, told in (
            ("soon", "no number of days, such as 90d, and no date"),
            ("90", "no number of days"),
            ("-1d", "no number of days"),
            ("0d", "not from 1d to 36500d"),
            ("99999d", "not from 1d to 36500d"),
            ("2026-13-01", "no number of days"),
            ("2020-01-01", "that is past"),
            ("", "no number of days"),
        ):
            done = run.invoke(cli, ["tokens", "create", "a", "--role", "admin", "--expires", expires])
            assert done.exit_code in (1, 2), expires
            assert told in done.output, expires
        assert list_tokens(database, START, 9).items == []


class TestPage:
    def test_admin_sees_all_and_revokes_one(
        self,
        admin_client: FlaskClient,
        client: FlaskClient,
        database: Database,
        services: Services,
        clock: FakeClock,
    ) -> None:
        header = {"Authorization": f"Bearer {create_token(database, '<b>ledger</b>', Role.FINANCE, START)}"}
        create_token(database, "ends", Role.SERVICE, START, expires_at=START + timedelta(days=90))
        clock.advance(120)
        assert client.get(API, headers=header).status_code == 200
        services.last_use.flush()
        clock.advance(120)
        page = admin_client.get("/tokens").text
        assert "&lt;b&gt;ledger&lt;/b&gt;" in page
        assert "2 min ago" in page
        assert ">30 Jun 2026 " in page
        path = [part.partition('"')[0] for part in page.split('action="/tokens/')[1:]][-1]
        assert post(admin_client, f"/tokens/{path}").location == "/tokens"
        assert client.get(API, headers=header).status_code == 401
        page = admin_client.get("/tokens").text
        assert "is revoked: nobody is let in with it any more." in page
        assert "ledger" not in admin_client.get("/tokens").text
        shown = admin_client.get("/tokens?all=yes").text
        assert "ledger" in shown
        assert ">revoked<" in shown
        post(admin_client, f"/tokens/{path}")
        assert "is revoked already" in admin_client.get("/tokens").text
        assert "revoke an API token" in admin_client.get("/audit").text

    def test_it_is_for_admins_and_changes_by_its_own_forms(
        self, finance_client: FlaskClient, client: FlaskClient, database: Database
    ) -> None:
        token = create_token(database, "a", Role.ADMIN, START)
        assert finance_client.get("/tokens").status_code == 403
        assert post(finance_client, "/tokens/1/revoke").status_code == 403
        assert finance_client.post("/tokens/1/revoke").status_code == 400
        assert (
            client.post("/tokens/1/revoke", data={"csrf_token": csrf_token(client)}, headers=BROWSER).status_code == 303
        )
        assert client.get("/tokens", headers=BROWSER).location == "/login?next=/tokens"
        assert lets_in(database, token)

    def test_many_are_paged(self, admin_client: FlaskClient, database: Database) -> None:
        for number in range(51):
            create_token(database, f"robot {number}", Role.FINANCE, START)
        page = admin_client.get("/tokens").text
        assert page.count("</form>") == 52  # 50, the search and the log-out
        following = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
        assert "robot 0<" in admin_client.get(following).text
        assert admin_client.get("/tokens?cursor=x").status_code == 400
