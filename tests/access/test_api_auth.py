"""Who may call the API: tokens and their roles."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import MetaData, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from tests.support.clock import START, FakeClock
from tests.support.people import SHELL
from webhook_app.db.database import Database
from webhook_app.models import ApiToken, Base
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token, revoke_token

URL = "/api/v1/transactions"


def test_without_a_usable_token_it_is_401_in_shape(client: FlaskClient, database: Database) -> None:
    token = create_token(database, "revoked", Role.ADMIN, START)
    with database.write() as session:
        session.execute(update(ApiToken).values(revoked_at=START))
    good = create_token(database, "good", Role.ADMIN, START)
    wrong = [
        *("", "Bearer", "Bearer ", "Bearer x", "Bearer \xe9\x00", f"Bearer {token}", f"Basic {good}", f"Token {good}"),
        *(
            f"Bearer {good}x",
            f"Bearer {good[:-1]}",
            f"Bearer {good},{good}",
            "Basic YTpi",
            "Bearer " + "x" * 10_000,
            good,
        ),
    ]
    for path in (URL, f"{URL}/a", f"{URL}?limit=0"):
        for header in wrong:
            answer = client.get(path, headers={"Authorization": header})
            assert answer.status_code == 401, header
            assert (answer.json["error"], answer.json["code"]) == ("unauthorised", "invalid_token")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.headers["X-Request-Id"]
    assert client.get(URL).status_code == 401
    assert client.get(URL, headers={"Authorization": f"Bearer {good}"}).status_code == 200


def test_role_decides(client: FlaskClient, database: Database) -> None:
    answers = {}
    for role in Role:
        header = {"Authorization": f"Bearer {create_token(database, 'a', role, START)}"}
        answers[role] = client.get(URL, headers=header)
    assert {role: answer.status_code for role, answer in answers.items()} == {
        Role.FINANCE: 200,
        Role.SERVICE: 403,
        Role.ADMIN: 200,
    }
    refused = answers[Role.SERVICE]
    assert (refused.json["error"], refused.json["code"]) == ("forbidden", "forbidden_role")
    assert refused.headers["X-Request-Id"]


def test_revoked_or_expired_token_is_told_since_when(client: FlaskClient, database: Database, clock: FakeClock) -> None:
    gone = create_token(database, "revoked", Role.ADMIN, START)
    ends = create_token(database, "ends", Role.ADMIN, START, expires_at=START + timedelta(days=90))
    revoke_token(database, "revoked", SHELL, START)
    answer = client.get(URL, headers={"Authorization": f"Bearer {gone}"})
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")
    assert "was revoked on 2026-04-01T12:00:00Z" in answer.json["message"]
    header = {"Authorization": f"Bearer {ends}"}
    clock.advance(90 * 86_400 - 1)
    assert client.get(URL, headers=header).status_code == 200
    clock.advance(1)
    answer = client.get(URL, headers=header)
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")
    assert "has expired on 2026-06-30T12:00:00Z" in answer.json["message"]


def test_use_is_noted_once_a_minute(
    client: FlaskClient, database: Database, clock: FakeClock, services: Services
) -> None:
    header = {"Authorization": f"Bearer {create_token(database, 'a', Role.ADMIN, START)}"}

    def used_at() -> datetime | None:
        services.last_use.flush()
        with database.read() as session:
            return session.scalars(select(ApiToken.last_used_at)).one()

    assert client.get(URL).status_code == 401
    assert used_at() is None
    for seconds, noted in ((0, 0), (59, 0), (1, 60), (59, 60), (61, 180)):
        clock.advance(seconds)
        assert client.get(URL, headers=header).status_code == 200
        assert used_at() == START + timedelta(seconds=noted)


def test_use_that_cannot_be_noted_yet_is_noted_later_and_no_fault_of_the_request(
    client: FlaskClient, database: Database, services: Services
) -> None:
    header = {"Authorization": f"Bearer {create_token(database, 'a', Role.ADMIN, START)}"}
    with database.write() as session:
        session.execute(text("ALTER TABLE api_tokens RENAME COLUMN last_used_at TO away"))
        session.execute(text("ALTER TABLE api_tokens ADD COLUMN last_used_at VARCHAR(1) CHECK (last_used_at = 'x')"))
    assert client.get(URL, headers=header).status_code == 200
    with pytest.raises(SQLAlchemyError):
        services.last_use.flush()
    with database.write() as session:
        session.execute(text("ALTER TABLE api_tokens DROP COLUMN last_used_at"))
        session.execute(text("ALTER TABLE api_tokens RENAME COLUMN away TO last_used_at"))
    services.last_use.flush()
    with database.read() as session:
        assert session.scalars(select(ApiToken.last_used_at)).one() == START


def test_token_itself_is_nowhere_in_the_database(database: Database) -> None:
    token = create_token(database, "a", Role.FINANCE, START)
    metadata = MetaData()
    metadata.reflect(database.engine)
    assert set(metadata.tables) >= set(Base.metadata.tables)
    with database.read() as session:
        stored = str([tuple(row) for table in metadata.sorted_tables for row in session.execute(select(table))])
    assert "finance" in stored
    assert token not in stored
