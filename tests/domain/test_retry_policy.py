"""Every row of Proof's error table, and every failure that it leaves out, with the row that decides it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.failures import Failure, invalid_response, worker_died
from webhook_app.domain.retry_policy import MOST_CRASHES, TABLE, Action, Blame, Budget, Rule, Spent, decide, rule_for

RETRY, ONCE, PERMANENT, PAUSE = Action.RETRY, Action.RETRY_ONCE, Action.PERMANENT, Action.PAUSE
SLOW = Action.SLOW_DOWN
T, U, C, N = Blame.TRANSACTION, Blame.PROOF, Blame.CONFIGURATION, Blame.NOBODY

Case = tuple[int | None, str, str, Action, Blame]

#: proof/README.md, "Errors", row by row, each with all its example codes and with one that Proof may add.
DOCUMENTED: list[Case] = [
    (400, "invalid_request", "validation_error", PERMANENT, T),
    (400, "invalid_request", "decode_error", PERMANENT, T),
    (400, "invalid_request", "missing_param", PERMANENT, T),
    (400, "invalid_request", "currency_not_allowed", PERMANENT, T),
    (400, "invalid_request", "new_code", PERMANENT, T),
    (400, "wallet_not_supported", "WALLET_NOT_SUPPORTED", PERMANENT, T),
    (400, "wallet_not_supported", "new_code", PERMANENT, T),
    (401, "unauthorised", "missing_token", PAUSE, C),
    (401, "unauthorised", "invalid_token", PAUSE, C),
    (401, "unauthorised", "new_code", PAUSE, C),
    (403, "forbidden", "forbidden_origin", PAUSE, C),
    (403, "forbidden", "forbidden", PAUSE, C),  # of the older form, which has no code
    (403, "forbidden", "invalid_token", PAUSE, C),
    (403, "forbidden", "missing_token", PAUSE, C),
    (404, "not_found", "not_found", Action.PERMANENT_UNLESS_NEW, T),
    (404, "not_found", "new_code", Action.PERMANENT_UNLESS_NEW, T),
    (500, "internal_error", "db_error", ONCE, U),
    (500, "internal_error", "token_error", ONCE, U),
    (500, "internal_error", "new_code", ONCE, U),
    (500, "publish_failed", "kafka_unavailable", RETRY, U),
    (500, "publish_failed", "new_code", RETRY, U),
    (502, "upstream_error", "provider_error", RETRY, U),
    (502, "upstream_error", "new_code", RETRY, U),
    (502, "upstream_unavailable", "upstream_unavailable", RETRY, U),
    (502, "upstream_unavailable", "upstream_invalid_response", RETRY, U),
    (502, "upstream_unavailable", "new_code", RETRY, U),
]

#: What the table leaves out.
UNLISTED: list[Case] = [
    # no answer
    (None, "upstream_unavailable", "timeout", RETRY, U),
    (None, "upstream_unavailable", "connection_failed", RETRY, U),
    (None, "upstream_unavailable", "tls_failed", RETRY, U),
    (None, "upstream_unavailable", "new_code", RETRY, U),
    # a call that no URL can carry
    (None, "invalid_request", "unsendable_id", PERMANENT, T),
    # no worker that came back with an answer
    (None, "worker_died", "lease_expired", Action.RETRY_ALONE, T),
    # a success that cannot be believed
    (200, "upstream_unavailable", "upstream_invalid_response", RETRY, U),
    (201, "upstream_unavailable", "upstream_invalid_response", RETRY, U),
    (204, "upstream_unavailable", "upstream_invalid_response", RETRY, U),
    # statuses that Proof does not mention, in its own shape and in another
    *((status, "unrecognised_answer", "redirect", RETRY, U) for status in (301, 302, 303, 304, 307, 308)),
    *(
        (status, error, "x", RETRY, U)
        for status in (408, 425, 503, 504)
        for error in ("new_error", "unrecognised_answer")
    ),
    *((status, "new_error", "x", PERMANENT, T) for status in (402, 405, 409, 410, 413, 415, 418, 422, 431, 451)),
    *((status, "unrecognised_answer", "not_json", RETRY, U) for status in (400, 402, 404, 405, 410, 418, 451)),
    *(
        (status, error, "x", RETRY, U)
        for status in (501, 505, 507, 511, 599)
        for error in ("new_error", "unrecognised")
    ),
    *((status, "unrecognised_answer", "empty", RETRY, U) for status in (100, 101, 103, 600, 999)),
    # Proof's statuses with a slug it does not pair with them, or with another's body
    (400, "new_error", "x", PERMANENT, T),
    (400, "not_found", "not_found", PERMANENT, T),
    (401, "new_error", "x", PAUSE, C),
    (401, "unrecognised_answer", "not_json", PAUSE, C),
    (403, "new_error", "x", RETRY, T),
    (403, "forbidden", "new_code", RETRY, T),
    (403, "offramp_disabled", "x", PERMANENT, T),
    (422, "kyc_required", "x", PERMANENT, T),
    (200, "upstream_unavailable", "unusable_transaction", RETRY, T),
    (203, "upstream_unavailable", "unusable_transaction", RETRY, T),
    (200, "upstream_unavailable", "unknown_status", RETRY, T),
    (429, "new_error", "x", SLOW, N),
    (429, "unrecognised_answer", "x", SLOW, N),
    (429, "rate_limit_exceeded", "x", SLOW, N),
    (403, "unrecognised_answer", "not_json", RETRY, U),
    (404, "new_error", "x", PERMANENT, T),
    (404, "unauthorised", "invalid_token", PERMANENT, T),
    (500, "new_error", "x", RETRY, U),
    (500, "unrecognised_answer", "not_json", RETRY, U),
    (500, "not_found", "not_found", RETRY, U),
    (500, "upstream_error", "provider_error", RETRY, U),
    (502, "new_error", "x", RETRY, U),
    (502, "unrecognised_answer", "not_json", RETRY, U),
    (502, "internal_error", "db_error", RETRY, U),
    (503, "internal_error", "db_error", RETRY, U),
    (503, "unauthorised", "invalid_token", RETRY, U),
    (429, "invalid_request", "validation_error", SLOW, N),
]


def failure(status: int | None, error: str, code: str) -> Failure:
    return Failure(status, error, code, "In words.", "req-1")


@pytest.mark.parametrize(("status", "error", "code", "action", "blame"), DOCUMENTED)
def test_documented_failure(status: int, error: str, code: str, action: Action, blame: Blame) -> None:
    rule = rule_for(failure(status, error, code))
    assert (rule.action, rule.blame) == (action, blame)
    assert (rule.http_status, rule.error) == (status, error), "a row of its own decides"


@pytest.mark.parametrize(("status", "error", "code", "action", "blame"), UNLISTED)
def test_unlisted_failure(status: int | None, error: str, code: str, action: Action, blame: Blame) -> None:
    rule = rule_for(failure(status, error, code))
    assert (rule.action, rule.blame) == (action, blame)


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: f"{rule.http_status} {rule.error}/{rule.code}")
def test_every_row_decides_some_case(rule: Rule) -> None:
    assert any(rule_for(failure(*case[:3])) is rule for case in DOCUMENTED + UNLISTED)
    assert rule.advice.endswith(".")


def test_no_two_rows_match_the_same() -> None:
    keys = [(rule.http_status, rule.error, rule.code) for rule in TABLE]
    assert len(set(keys)) == len(keys)


def test_unbelievable_success_is_the_table_row_for_it() -> None:
    rule = rule_for(invalid_response(200, "HTML", None))
    assert (rule.http_status, rule.code) == (200, "upstream_invalid_response")


# Precedence


@pytest.mark.parametrize(
    ("case", "row"),
    [
        ((400, "invalid_request", "currency_not_allowed"), (400, "invalid_request", "currency_not_allowed")),
        ((400, "invalid_request", "x"), (400, "invalid_request", None)),
        ((403, "forbidden", "forbidden_origin"), (403, "forbidden", "forbidden_origin")),
        ((403, "forbidden", "x"), (403, None, None)),
        ((403, "unrecognised_answer", "x"), (403, "unrecognised_answer", None)),
        ((403, "x", "x"), (403, None, None)),
        ((429, "unrecognised_answer", "x"), (429, None, None)),
        ((418, "unrecognised_answer", "x"), ("4xx", "unrecognised_answer", None)),
        ((418, "x", "x"), ("4xx", None, None)),
        ((599, "x", "x"), ("5xx", None, None)),
        ((299, "upstream_unavailable", "upstream_invalid_response"), ("2xx", None, None)),
        ((299, "upstream_unavailable", "unknown_status"), ("2xx", "upstream_unavailable", "unknown_status")),
        ((999, "x", "x"), ("any", None, None)),
        ((None, "x", "timeout"), (None, None, "timeout")),
        ((None, "x", "x"), (None, None, None)),
    ],
)
def test_row_that_names_most_wins(
    case: tuple[int | None, str, str], row: tuple[int | str | None, str | None, str | None]
) -> None:
    rule = rule_for(failure(*case))
    assert (rule.http_status, rule.error, rule.code) == row


SLUGS = st.sampled_from([rule.error or rule.code or "x" for rule in TABLE]) | st.text(max_size=5)


@given(status=st.none() | st.integers(100, 999), error=SLUGS, code=SLUGS)
@settings(database=None)
def test_every_failure_has_exactly_one_most_specific_row(status: int | None, error: str, code: str) -> None:
    rule = rule_for(failure(status, error, code))
    assert rule.http_status in (status, "any", status and f"{status // 100}xx")
    assert rule.error in (None, error)
    assert rule.code in (None, code)


# Budget

BUDGET = Budget(attempts=5, age_seconds=100.0)


def gives_up(status: int, error: str, attempts: int, single_retries: int = 0, age: float = 0.0) -> bool:
    return decide(failure(status, error, "x"), Spent(attempts, single_retries, age), BUDGET).gives_up


def test_permanent_failure_is_given_up_at_once() -> None:
    assert gives_up(404, "not_found", attempts=1)


def test_retryable_failure_is_retried_until_its_attempts_are_spent() -> None:
    decisions = [gives_up(502, "upstream_error", attempts=number) for number in (1, 2, 3, 4, 5, 6)]
    assert decisions == [False] * 4 + [True] * 2


def test_retryable_failure_is_given_up_when_it_is_too_old() -> None:
    assert not gives_up(502, "upstream_error", attempts=1, age=99.9)
    assert gives_up(502, "upstream_error", attempts=1, age=100.0)


def test_internal_error_gets_exactly_one_retry() -> None:
    assert not gives_up(500, "internal_error", attempts=1, single_retries=1)
    assert gives_up(500, "internal_error", attempts=2, single_retries=2)


def test_single_retry_is_not_spent_by_failures_of_another_kind() -> None:
    assert not gives_up(500, "internal_error", attempts=4, single_retries=1)
    assert not gives_up(502, "upstream_error", attempts=4, single_retries=2)


def test_single_retry_keeps_within_the_budget() -> None:
    assert gives_up(500, "internal_error", attempts=5, single_retries=1)


def test_reconciliation_whose_worker_died_is_given_up_after_five_deaths_in_a_row() -> None:
    decisions = [
        decide(worker_died(crashes), Spent(0, 0, 0.0, crashes), BUDGET) for crashes in range(1, MOST_CRASHES + 2)
    ]
    assert [decision.gives_up for decision in decisions] == [False] * 4 + [True] * 2
    assert decisions[0].reason == "taken back from a worker that died; tried alone"
    assert decisions[4].reason == "gave up: 5 workers died with it"


def test_reason_says_why_in_words() -> None:
    reasons = {
        decide(failure(404, "not_found", "x"), Spent(1, 0, 0), BUDGET).reason,
        decide(failure(500, "internal_error", "x"), Spent(2, 2, 0), BUDGET).reason,
        decide(failure(502, "upstream_error", "x"), Spent(5, 0, 0), BUDGET).reason,
        decide(failure(502, "upstream_error", "x"), Spent(1, 0, 7200), BUDGET).reason,
        decide(failure(502, "upstream_error", "x"), Spent(1, 0, 0), BUDGET).reason,
    }
    assert reasons == {
        "not retried: it would fail the same way again",
        "retried once, as Proof advises, and failed again",
        "gave up after 5 attempts",
        "gave up after 2.0 hours of failing",
        "retried with backoff",
    }


def test_failure_has_a_name_for_logs() -> None:
    assert failure(502, "upstream_error", "provider_error").name == "502 upstream_error/provider_error"
    assert failure(None, "upstream_unavailable", "timeout").name == "no answer upstream_unavailable/timeout"
