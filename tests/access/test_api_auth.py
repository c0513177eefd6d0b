"""Who may call the API: tokens and their roles."""

from __future__ import annotations

from flask.testing import FlaskClient
from sqlalchemy import MetaData, select, update

from tests.support.clock import START
from webhook_app.db.database import Database
from webhook_app.models import ApiToken, Base
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token

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


def test_token_itself_is_nowhere_in_the_database(database: Database) -> None:
    token = create_token(database, "a", Role.FINANCE, START)
    metadata = MetaData()
    metadata.reflect(database.engine)
    assert set(metadata.tables) >= set(Base.metadata.tables)
    with database.read() as session:
        stored = str([tuple(row) for table in metadata.sorted_tables for row in session.execute(select(table))])
    assert "finance" in stored
    assert token not in stored
