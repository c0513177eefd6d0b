"""Pages and files while work is opened: whatever comes in or is opened between two of them, in whatever order, each
transaction that was known at the beginning comes once, and none comes twice."""

from __future__ import annotations

import random

import pytest
from flask.testing import FlaskClient

from tests.support.rows import make_known
from tests.support.unopened import add_unopened, open_work
from webhook_app.db.database import Database
from webhook_app.usecases.finance.export import export_rows
from webhook_app.usecases.finance.reports import list_transactions
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

#: In all of these the transactions stay whose work is opened while they are read.
WANTED = [TransactionFilter(), TransactionFilter(q="id-"), TransactionFilter(state="pending")]


class Life:
    """Transactions that come in and are opened, at random; a known one has been opened or had no event ever."""

    def __init__(self, database: Database, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self.known: list[str] = []
        self._unopened: set[str] = set()

    def take_in(self, count: int) -> None:
        """Events, of new transactions most of them."""
        for _ in range(count):
            if self.known and self._random.random() < 0.3:
                name = self._random.choice(self.known)
            else:
                name = f"id-{len(self.known)}"
                self.known.append(name)
            add_unopened(self._database, name, updated_at_key=str(self._random.random()))
            self._unopened.add(name)

    def watch(self, count: int) -> None:
        """Transactions that are known without an event."""
        for _ in range(count):
            make_known(self._database, f"id-{len(self.known)}", "pending")
            self.known.append(f"id-{len(self.known)}")

    def open(self, share: float) -> None:
        """Opens the work of so many of those that wait, in any order."""
        names = sorted(self._unopened)
        for name in self._random.sample(names, round(len(names) * share)):
            open_work(self._database, name)
            self._unopened.discard(name)

    def go_on(self) -> None:
        """A step between two pages."""
        self.take_in(self._random.randrange(4))
        self.watch(self._random.randrange(2))
        self.open(self._random.choice([0, 0.2, 0.5, 1]))


@pytest.fixture(params=[1, 2])
def life(database: Database, request: pytest.FixtureRequest) -> Life:
    life = Life(database, request.param)
    life.watch(3)
    life.take_in(12)
    life.open(0.5)
    life.watch(2)
    life.take_in(25)
    life.open(0.3)
    return life


@pytest.mark.parametrize("wanted", WANTED, ids=["all", "searched", "pending"])
def test_pages_have_each_transaction_once(database: Database, life: Life, wanted: TransactionFilter) -> None:
    before = set(life.known)
    seen: list[str] = []
    after = None
    while True:
        page = list_transactions(database, wanted, 3, after)
        seen += [one.merchant_transaction_id for one in page.items]
        after = page.next_after
        if after is None:
            break
        life.go_on()
    assert len(seen) == len({*seen})
    assert before <= {*seen}


def test_cursor_goes_over_http(client: FlaskClient, as_finance: dict[str, str], life: Life) -> None:
    before = set(life.known)
    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        told = client.get("/api/v1/transactions", query_string=query, headers=as_finance).json
        seen += [one["merchant_transaction_id"] for one in told["items"]]
        if told["next_cursor"] is None:
            break
        query["cursor"] = told["next_cursor"]
        life.go_on()
    assert len(seen) == len({*seen})
    assert before <= {*seen}


@pytest.mark.parametrize("wanted", WANTED, ids=["all", "searched", "pending"])
def test_file_has_each_transaction_of_its_beginning_once_and_no_other(
    database: Database, life: Life, wanted: TransactionFilter
) -> None:
    before = list(life.known)
    rows = export_rows(database, wanted, 3)
    seen = []
    for row in rows:
        seen.append(row[0])
        if len(seen) % 3 == 0:
            life.go_on()
    assert sorted(map(str, seen)) == sorted(before)
