"""File names: what is in the file, in characters that are safe everywhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from webhook_app.adapters.table_files import file_name

AT = datetime(2026, 11, 23, 18, 56, tzinfo=UTC)


def test_name_says_what_by_which_filter_and_when() -> None:
    described = {"status": "completed", "currency": "USDT", "created_from": "2026-04-01"}
    assert "created-to-2026-04-01" in file_name("transactions", {"created_to": "2026-04-01"}, AT, "csv")
    assert file_name("transactions", described, AT, "csv") == (
        "transactions_status-completed_currency-USDT_created-from-2026-04-01_20261123T185600Z.csv"
    )


def test_time_is_utc() -> None:
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert file_name("transactions", {}, berlin, "xlsx") == "transactions_20261123T185600Z.xlsx"


def test_what_is_not_safe_becomes_a_dash() -> None:
    described = {"id": '../../etc/"passwd"\r\nX: y', "from": "2026-04-01T10:00:00+02:00", "name": "Zürich"}
    assert file_name("a b", described, AT, "csv") == (
        "a-b_id-etc-passwd-X-y_from-2026-04-01T10-00-00-02-00_name-Z-rich_20261123T185600Z.csv"
    )


def test_filter_without_a_safe_character_is_still_named() -> None:
    assert file_name("", {"customer": "東京", "": "x"}, AT, "") == "file_customer-set_filter-x_20261123T185600Z.bin"


def test_filters_without_room_are_said_to_exist() -> None:
    name = file_name("transactions", {f"filter_{number}": "v" * 40 for number in range(9)}, AT, "ndjson")
    assert name.startswith("transactions_filter-0-vvv")
    assert name.count("_filter") == 3
    assert name.endswith("_and-more_20261123T185600Z.ndjson")


@given(st.text(), st.dictionaries(st.text(), st.text()), st.text())
def test_any_name_is_safe(stem: str, described: dict[str, str], extension: str) -> None:
    name = file_name(stem, described, AT, extension)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert len(name) <= 240
    assert ".." not in name
    assert all(name.rpartition(".")[0].split("_"))
    assert "20261123T185600Z." in name


def test_whole_filter_of_a_month_finds_room() -> None:
    described = {"status": "completed", "type": "buy", "currency": "USDT", "network": "TRC20", "fiat_currency": "EUR"}
    described |= {"created_from": "2026-10-01", "created_to": "2026-11-01", "tz": "Europe/Paris"}
    name = file_name("transactions", described, datetime(2026, 11, 23, 18, 56, tzinfo=UTC), "csv")
    assert name == (
        "transactions_status-completed_type-buy_currency-USDT_network-TRC20_fiat-EUR"
        "_created-2026-10-01-to-2026-11-01_tz-Europe-Paris_20261123T185600Z.csv"
    )
    described |= {"partner_user_id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "network": "ARBITRUM"}
    described |= {"updated_from": "2026-10-01", "updated_to": "2026-11-01", "type": "sell", "status": "processing"}
    name = file_name("transactions", described, AT, "csv")
    assert "and-more" not in name
    for part in ("_user-1b4e28ba-2fa1-11d2-883f-0016d3cca427_", "-to-2026-11-01_tz-Europe-Paris_", "_fiat-EUR_"):
        assert part in name


def test_text_that_was_typed_is_left_out_before_dates_and_zone() -> None:
    described = {"q": "q" * 70, "state": "succeeded", "partner_user_id": "u" * 70, "owner": "me"}
    described |= {"anomaly": "reconciliation_failed", "created_from": "2026-10-01", "created_to": "2026-11-01"}
    described |= {"updated_from": "2026-10-01", "updated_to": "2026-11-01", "tz": "America/Argentina/Buenos_Aires"}
    assert file_name("transactions", described, AT, "csv") == (
        "transactions_state-succeeded_owner-me_anomaly-reconciliation-failed_created-2026-10-01-to-2026-11-01"
        "_updated-2026-10-01-to-2026-11-01_tz-America-Argentina-Buenos-Aires_and-more_20261123T185600Z.csv"
    )
