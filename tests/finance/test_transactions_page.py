"""`/transactions` and `/transaction-totals`: what finance sees of many transactions."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from flask.testing import FlaskClient

from tests.support.clock import START, FakeClock
from tests.support.page_text import EVIL, ids, in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.rows import confirm, make_known, note, pause
from webhook_app.db.database import Database
from webhook_app.web.finance.pages import transactions

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # what pages do is the same on both

LIST, STRIP = "/transactions", "/transaction-strip"
ROOM, TOTALS = "/transaction-totals", "/transaction-totals/counted"
NARROW = "\N{NARROW NO-BREAK SPACE}"
EUR = {"fiat_currency": "EUR", "fiat_amount": Decimal("100.00"), "status": "completed"}


def test_list_shows_what_is_confirmed_and_how_fresh_it_is(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    crypto = Decimal("0.031415926535897932")
    confirm(database, "a-1", type="buy", currency="ETH", crypto_amount=crypto, **EUR)
    confirm(database, "b-2", "retrying", type="sell", status="pending")
    make_known(database, "c-3", "failed")
    note(database, "a-1", "status_mismatch")
    note(database, "a-1", "stale_answer", acknowledged_at=START, acknowledged_by="fin", note="seen")
    clock.advance(180)
    page = finance_client.get(LIST).text
    assert ids(page) == ["c-3", "b-2", "a-1"]
    assert "0.03141592… ETH" in in_words(page)
    assert 'title="0.031415926535897932"' in page
    assert "100.00 EUR" in in_words(page)
    assert '<time datetime="2026-04-01T12:00:00Z" title="2026-04-01 12:00:00 UTC">3 min ago</time>' in page
    words = in_words(page)
    assert "not confirmed" in words
    assert "reconciliation retrying" in words
    assert "Status differs" in words
    assert 'title="Reported status differs"' in page
    assert "Older answer , acknowledged ✓" in words
    assert "1 is being reconciled, 1 has failed to be reconciled: what is shown of them may be out of date." in words
    assert "1 was never confirmed: of it only what was reported is known." in words
    words = in_words(finance_client.get(f"{LIST}?status=completed").text)
    assert "1 more was never confirmed and may belong here." in words
    pause(database, "upstream", START)
    page = in_words(finance_client.get(LIST).text)
    assert "Calls to Proof are paused" in page
    assert "XLSX amounts are numbers or text: the sheet Sums says which" in page


def test_nothing_that_waits_is_said_too(finance_client: FlaskClient, database: Database) -> None:
    assert "No transaction yet." in finance_client.get(LIST).text
    confirm(database, "a")
    assert "Up to date: none of these waits for Proof's word" in in_words(finance_client.get(LIST).text)
    assert "No transaction is like that." in finance_client.get(f"{LIST}?q=b").text


def test_filters_narrow_and_stay_in_the_form(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "Order-1", "failed", currency="BTC", network="BTC", partner_user_id="u-1", type="sell", **EUR)
    confirm(database, "order-2", created_at=START - timedelta(days=9), updated_at=START - timedelta(days=8))
    note(database, "order-2", "pending_too_long")
    for query, found in [
        ("q=DER-1", ["Order-1"]),
        ("q=u-1", ["Order-1"]),
        ("q=order", ["order-2", "Order-1"]),
        ("status=pending", ["order-2"]),
        ("type=sell", ["Order-1"]),
        ("currency=BTC", ["Order-1"]),
        ("network=BTC", ["Order-1"]),
        ("fiat_currency=EUR", ["Order-1"]),
        ("partner_user_id=u-1", ["Order-1"]),
        ("state=failed", ["Order-1"]),
        ("anomaly=any", ["order-2"]),
        ("anomaly=pending_too_long", ["order-2"]),
        ("created_from=2026-03-30", ["Order-1"]),
        ("created_to=2026-03-30", ["order-2"]),
        ("updated_from=2026-03-30T10:00:00Z", ["Order-1"]),
        ("updated_to=2026-03-30", ["order-2"]),
        ("currency=nothing", []),
        ("status=&q=+u-1+&type=", ["Order-1"]),
    ]:
        page = finance_client.get(f"{LIST}?{query}")
        assert page.status_code == 200, query
        assert ids(page.text) == found, query
        assert "Show all" in page.text, query
    page = finance_client.get(
        f"{LIST}?q=u-1&currency=BTC&created_from=2026-03-30&updated_from=2026-03-30T10:00:00Z"
    ).text
    for shown in (
        'name="q" value="u-1"',
        "Currency: <strong>BTC</strong>",
        "Created: <strong>from 30 Mar 2026</strong>",
        '<span class="chip-text">Search: u-1</span>',
        '<span class="chip-text">Updated: from 30 Mar 2026 10:00:00</span>',
        'type="date" id="created_from" name="created_from" value="2026-03-30"',
        'type="datetime-local" step="1" id="updated_from" name="updated_from" value="2026-03-30T10:00"',
    ):
        assert shown in page
    without = re.search(r'href="([^"]*)" aria-label="Take away Currency: BTC"', page)
    assert without
    assert ids(finance_client.get(without[1].replace("&amp;", "&")).text) == ["Order-1"]
    assert "currency" not in without[1]


def test_pages_follow_each_other_within_the_filter(finance_client: FlaskClient, database: Database) -> None:
    for number in range(53):
        confirm(database, f"many-{number}", status="completed")
    first = finance_client.get(f"{LIST}?status=completed&created_from=2026-01-01")
    found = re.search(r'href="([^"]*cursor=[^"]*)"[^>]*>Older', first.text)
    assert found
    second = finance_client.get(found[1].replace("&amp;", "&"))
    assert [len(ids(first.text)), len(ids(second.text))] == [50, 3]
    assert not set(ids(first.text)) & set(ids(second.text))
    elsewhere = finance_client.get(found[1].replace("&amp;", "&").replace("completed", "failed"))
    assert elsewhere.status_code == 400
    assert "cut or changed" in elsewhere.text


SENSELESS = [
    ("status=gone", "Status"),
    ("type=swap", "Type"),
    ("state=gone", "Reconciliation"),
    ("anomaly=gone", "Discrepancy"),
    ("created_from=yesterday", "Created from"),
    ("created_from=2026-04-02&created_to=2026-04-01", "Created from"),
    ("updated_from=2026-04-02&updated_to=2026-04-02", "Updated from"),
    ("updated_to=2026-02-30", "Updated before"),
    ("created_to=99999-01-01", "Created before"),
    ("q=%00", "Search"),
    (f"currency={'x' * 129}", "Currency"),
    ("network=%01", "Network"),
    ("fiat_currency=%7f", "Fiat currency"),
    ("partner_user_id=%1b", "Partner user"),
    ("as_of=2026-04-02", "As of"),
    ("as_of=2026-03-01&state=failed", "Reconciliation"),
    ("as_of=2026-03-01&anomaly=any", "Discrepancy"),
    ("tz=Paris", "Time zone"),
    ("day_of=settled", "By the day it was"),
    ("volume_in=%00", "Volume in"),
    ("status=failed&status=completed", "Status"),
    ("stauts=failed", "stauts"),
    ("limit=1000000000", "limit"),
]


def test_filter_that_makes_no_sense_is_a_400_that_names_the_field(
    finance_client: FlaskClient, database: Database
) -> None:
    confirm(database, "a")
    for path in (LIST, ROOM, TOTALS):
        for query, name in SENSELESS:
            page = finance_client.get(f"{path}?{query}")
            assert page.status_code == 400, query
            text = in_words(page.text)
            assert "This filter makes no sense" in text, query
            assert name in text.partition("This filter makes no sense")[2], query
            assert ids(page.text) == [], query
    for cursor in ("x", "MQ.forged", "%00", EVIL):
        assert finance_client.get(LIST, query_string={"cursor": cursor}).status_code == 400
    kept = finance_client.get(f"{LIST}?status=gone&created_from=2026-04-01").text
    assert 'type="date" id="created_from" name="created_from" value="2026-04-01"' in kept


FIELDS = ["q", "status", "type", "currency", "network", "fiat_currency", "partner_user_id", "state", "anomaly"]
FIELDS += ["created_from", "created_to", "updated_from", "updated_to", "as_of", "tz", "day_of", "volume_in", "cursor"]


def test_html_and_sql_in_any_field_are_text(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "a", partner_user_id=EVIL, currency="<b>X</b>", fiat_currency=EVIL[:32], network=EVIL[:64])
    note(database, "a", "amount_mismatch", detail=EVIL)
    for path in (LIST, ROOM, TOTALS):
        for name in [*FIELDS, EVIL]:
            page = finance_client.get(path, query_string={name: EVIL})
            assert page.status_code in (200, 400), name
            assert "<img" not in page.text.replace('<img src="/static/icon.svg"', ""), name
            assert "<b>X" not in page.text
        assert finance_client.get(path).status_code == 200
    found = finance_client.get(LIST, query_string={"partner_user_id": EVIL})
    assert ids(found.text) == ["a"]
    assert finance_client.get(TOTALS, query_string={"volume_in": EVIL[:32]}).status_code == 200


def test_whole_id_opens_its_transaction_and_words_are_the_filter_that_they_say(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    confirm(database, "order-1", type="buy", partner_user_id="last month", created_at=START - timedelta(days=20), **EUR)
    confirm(database, "order-12", type="sell", created_at=START, **EUR)
    for query, target in [
        ("q=order-1", "/transactions/order-1"),
        ("q=order-1&status=completed", "/transactions/order-1"),
        (
            "q=Completed+eur+buys+from+last+month&network=TRC20",
            "/transactions?network=TRC20&status=completed&fiat_currency=EUR&type=buy"
            "&created_from=2026-03-01&created_to=2026-04-01&tz=UTC",
        ),
        ("q=sell+today", "/transactions?type=sell&created_from=2026-04-01&created_to=2026-04-02&tz=UTC"),
    ]:
        answer = finance_client.get(f"{LIST}?{query}")
        assert (answer.status_code, answer.location) == (303, target), query
    for query, found in [
        ("q=order-", ["order-12", "order-1"]),
        ("q=last+month", ["order-1"]),  # a user of that name
        ("q=completed+failed", []),
        ("q=completed+things", []),
        ("q=buy", []),
    ]:
        answer = finance_client.get(f"{LIST}?{query}")
        assert (answer.status_code, ids(answer.text)) == (200, found), query
    finance_client.set_cookie("tz", "Pacific/Kiritimati")  # where it is the second of April already
    today = finance_client.get(f"{LIST}?q=sell+today").location
    assert today is not None
    assert today.endswith("created_from=2026-04-02&created_to=2026-04-03&tz=Pacific/Kiritimati".replace("/", "%2F"))
    finance_client.set_cookie("tz", EVIL)
    assert finance_client.get(LIST).status_code == 200


def test_list_is_in_the_order_of_the_column_that_it_shows(finance_client: FlaskClient, database: Database) -> None:
    days = {"a": (3, 1), "b": (1, 3), "c": (2, 2)}
    for name, (created, updated) in days.items():
        at = {"created_at": START - timedelta(days=created), "updated_at": START - timedelta(hours=updated)}
        confirm(database, name, status="completed", **at)
    make_known(database, "d")
    for query, column, order, found in [
        ("", "First known", "descending", ["d", "c", "b", "a"]),
        ("?status=completed", "Created", "descending", ["b", "c", "a"]),
        ("?sort=-created_at", "Created", "descending", ["b", "c", "a"]),
        ("?sort=created_at&type=buy", "Created", "ascending", ["a", "c", "b"]),
        ("?sort=-updated_at", "Updated", "descending", ["a", "c", "b"]),
        ("?sort=updated_at&updated_from=2026-04-01T09:30:00Z", "Updated", "ascending", ["c", "a"]),
    ]:
        page = finance_client.get(f"{LIST}{query}").text
        assert ids(page) == found, query
        assert re.findall(rf'aria-sort="(\w+)">(?:<a[^>]*>)?{column}<', page) == [order], query
    for query in (
        "sort=created_at&state=failed",
        "sort=updated_at&status=completed",
        "sort=-updated_at&as_of=2026-03-31",
    ):
        assert finance_client.get(f"{LIST}?{query}").status_code == 400


def test_view_is_kept_under_a_name_for_its_person_alone(
    finance_client: FlaskClient, admin_client: FlaskClient, database: Database
) -> None:
    query = "status=completed&created_from=2026-03-01&created_to=2026-04-01&tz=Europe%2FParis"

    def save(name: str, query: str = query) -> str:
        token = csrf_token(finance_client, LIST)
        form = {"csrf_token": token, "name": name, "query": query}
        return in_words(finance_client.post("/transaction-views", data=form, follow_redirects=True).text)

    assert "Kept as “Close March”" in save("  Close   March ")
    assert "Kept as “Close March”" in save("Close March", query + "&type=sell")
    assert "A view needs a name" in save(" ")
    assert "A view needs a name" in save("x" * 61)
    assert "cannot be seen" in save("Close\u202e")
    assert "choose something first" in save("all", "")
    assert "choose something first" in save("wrong", "status=gone")
    page = finance_client.get(LIST).text
    assert page.count('class="view"') == 1
    family = "\U0001f468\u200d\U0001f469 caf"
    assert "Kept as" in save(family + "e\u0301")
    assert "Kept as" in save(family + "\u00e9")
    assert finance_client.get(LIST).text.count('class="view"') == 2, "what looks the same is the same"
    kept = re.search(r'href="([^"]*)"[^>]*>Close March<', page)
    assert kept
    assert "type=sell" in kept[1]
    assert finance_client.get(kept[1].replace("&amp;", "&")).status_code == 200
    view_id = re.search(r"/transaction-views/(\d+)/delete", page)
    assert view_id
    assert "Close March" not in admin_client.get(LIST).text
    delete = f"/transaction-views/{view_id[1]}/delete"
    admin_client.post(delete, data={"csrf_token": csrf_token(admin_client, LIST)})
    assert "Close March" in finance_client.get(LIST).text
    assert finance_client.post(delete).status_code == 400  # without the token of a form
    finance_client.post(delete, data={"csrf_token": csrf_token(finance_client, LIST)})
    assert "Close March" not in finance_client.get(LIST).text


def test_as_of_a_moment_leaves_out_what_belongs_to_the_present(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    confirm(database, "a", "retrying", confirmed_at=START - timedelta(days=2), **EUR)
    confirm(database, "b", "failed")
    note(database, "a", "status_mismatch")
    page = finance_client.get(f"{LIST}?as_of=2026-03-31T00:00:00Z").text
    words = in_words(page)
    assert "As of 31 Mar 2026 00:00:00 UTC." in words
    assert "Confirmed since" in words
    assert 'class="look' not in page
    assert "being reconciled" not in words
    assert "100.00 EUR" in words
    totals = in_words(finance_client.get(f"{TOTALS}?as_of=2026-03-31T00:00:00Z").text)
    assert "1 confirmed transaction" in totals


def test_totals_are_exact_by_currency_and_status(finance_client: FlaskClient, database: Database) -> None:
    tiny, huge = Decimal("0.000000000000000001"), Decimal("12345678901234567890123456789.5")
    for number, (status, amount) in enumerate([("completed", huge), ("completed", tiny), ("failed", tiny)]):
        created = START - timedelta(days=number)
        confirm(database, f"a{number}", status=status, fiat_currency="EUR", fiat_amount=amount, created_at=created)
    confirm(database, "b", status="completed", fiat_currency="USD", fiat_amount=Decimal("1.10"), crypto_amount=tiny)
    make_known(database, "c", "failed")
    page = finance_client.get(TOTALS)
    words = in_words(page.text)
    assert "4 confirmed transactions , the last of them confirmed just now" in words
    assert "1 was never confirmed" in words
    assert "12 345 678 901 234 567 890 123 456 789.50000000… 2" in words
    for end in "12":
        exact = f"12 345 678 901 234 567 890 123 456 789.50000000000000000{end}".replace(" ", NARROW)
        assert f'title="{exact}"' in page.text
    assert "1.10 1" in words
    assert "Volume in EUR" in words
    assert 'href="?volume_in=USD#plots"' in page.text
    grouped = "12 345 678 901 234 567 890 123 456 789.5".replace(" ", NARROW)
    assert f"<title>1 Apr 2026: {grouped} EUR completed, 0 not completed</title>" in page.text
    assert "<title>30 Mar 2026: 1 failed</title>" in page.text
    cut = '<span class="cut" title="0.000000000000000001">0.00000000…</span>'
    assert f'<th scope="row">31 Mar 2026</th><td class="number">{cut}</td>' in page.text
    assert "completed 12 345 678 901 234 567 890 123 456 789.50000000… " in words, "in the legend"
    read_aloud_or_on_hover = r"(?s)<(title|desc)[^>]*>.*?</\1>|<[^>]*>"
    assert "0.000000000000000001" not in re.sub(read_aloud_or_on_hover, "", page.text)
    in_usd = finance_client.get(f"{TOTALS}?volume_in=USD&tz=Pacific/Auckland").text
    assert "<title>2 Apr 2026: 1.10 USD completed, 0 not completed</title>" in in_usd
    assert "days begin at midnight in Pacific/Auckland" in in_usd
    in_lower_case = in_words(finance_client.get(f"{TOTALS}?volume_in=usd").text)
    assert "Volume in USD" in in_lower_case
    assert "usd" not in in_lower_case
    assert "none in this time" in finance_client.get(f"{TOTALS}?volume_in=XXX").text
    of_one_day = finance_client.get(f"{TOTALS}?created_from=2026-04-01").text
    assert "2 confirmed transactions" in in_words(of_one_day)
    assert "<figure" not in of_one_day  # a single bar says no more than the number
    strip = in_words(finance_client.get(STRIP).text)
    assert "4 confirmed 12 345 678 901 234 567 890 123 456 789.50000000… EUR 1.10 USD completed" in strip
    assert "1 confirmed 0.00000000… EUR failed" in in_words(finance_client.get(f"{STRIP}?status=failed").text)


def test_list_on_one_page_has_its_sums_and_a_longer_one_asks_for_them(
    finance_client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, status in (("pay-a", "completed"), ("pay-b", "failed"), ("pay-c", "completed")):
        confirm(database, name, crypto_amount=Decimal("0.1"), currency="ETH", **EUR | {"status": status})
    make_known(database, "d", "failed")
    for filter in ("", "?status=failed", "?q=ay-", "?as_of=2026-04-01T12:00:00Z", "?currency=BTC"):
        page, asked_for = (finance_client.get(f"{path}{filter}").text for path in (LIST, STRIP))
        assert "confirmed" in in_words(asked_for), filter
        assert in_words(asked_for) in in_words(page), filter
        assert "data-part" not in page, filter
    monkeypatch.setattr(transactions, "PER_PAGE", 1)
    page = finance_client.get(f"{LIST}?status=completed").text
    assert f'data-part="{STRIP}?status=completed"' in page
    assert in_words(finance_client.get(f"{STRIP}?status=completed").text) not in in_words(page)


@pytest.mark.parametrize(("days", "unit"), [(119, "day"), (800, "week"), (3000, "month"), (9000, "year")])
def test_long_times_are_put_into_fewer_periods(
    days: int, unit: str, finance_client: FlaskClient, database: Database
) -> None:
    for ago in (0, days):
        confirm(database, f"a{ago}", crypto_amount=Decimal(ago + 1), created_at=START - timedelta(days=ago))
    page = finance_client.get(TOTALS).text
    assert f"USDT per {unit}" in page
    assert 2 <= page.count('class="plot-hit"') / 2 <= 120


def test_page_of_totals_counts_nothing_itself_and_says_where_it_is_counted(
    finance_client: FlaskClient, database: Database
) -> None:
    confirm(database, "a", **EUR)
    page = finance_client.get(f"{ROOM}?fiat_currency=EUR&tz=Europe/Paris").text
    assert f'data-part="{TOTALS}?fiat_currency=EUR&amp;tz=Europe%2FParis"' in page
    assert f'<noscript><a href="{TOTALS}?fiat_currency=EUR&amp;tz=Europe%2FParis">Count and sum</a>' in page
    assert 'aria-label="Take away Fiat currency: EUR"' in page
    assert "100.00" not in page
    counted = finance_client.get(f"{TOTALS}?fiat_currency=EUR&tz=Europe/Paris").text
    assert "data-part" not in counted
    assert "100.00 1" in in_words(counted)
    assert f'href="{ROOM}?fiat_currency=EUR' in counted, "the tab leads to the page that is there at once"


def test_totals_of_nothing(finance_client: FlaskClient) -> None:
    words = in_words(finance_client.get(TOTALS).text)
    assert "0 confirmed transactions" in words
    assert "Fiat amounts" not in words


def test_who_may_look(client: FlaskClient, finance_client: FlaskClient, admin_client: FlaskClient) -> None:
    for path in (LIST, ROOM, TOTALS, "/discrepancies"):
        assert client.get(path, headers=BROWSER).status_code == 303
        assert finance_client.get(path).status_code == 200
        assert admin_client.get(path).status_code == 200
    assert ">Discrepancies</a>" in finance_client.get("/").text
