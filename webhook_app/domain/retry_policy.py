"""The one table that decides what follows a failed call, and whom it is charged to (proof/README.md, "Errors", and what
it leaves out).

Precedence: the row that names most wins — status, error and code; then status and error; then the status alone; then
its class (4xx, 5xx); then any status; last, no answer at all. Within Proof's own rows a wrong status or slug is an
unlisted failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from webhook_app.domain.failures import (
    CONNECTION_FAILED,
    INVALID_REQUEST,
    INVALID_RESPONSE,
    LEASE_EXPIRED,
    TIMEOUT,
    TLS_FAILED,
    UNKNOWN_STATUS,
    UNRECOGNISED,
    UNSENDABLE_ID,
    UNUSABLE,
    UPSTREAM_UNAVAILABLE,
    WORKER_DIED,
    Failure,
)


class Action(StrEnum):
    RETRY = "retry"
    """Again with backoff, until the budget is spent."""
    RETRY_ONCE = "retry_once"
    """Again one single time, with backoff."""
    RETRY_ALONE = "retry_alone"
    """Again at once, in the slow lane, where it harms no other; until `MOST_CRASHES` workers died in a row."""
    PERMANENT = "permanent"
    """Never as it is: a person has to look."""
    PERMANENT_UNLESS_NEW = "permanent_unless_new"
    """The same; but of what the partner has begun to watch within `NEW_SECONDS`, again with backoff: Proof may lag
    behind its own session."""
    SLOW_DOWN = "slow_down"
    """Again, after a wait and at a lower rate for all; not charged, within `MOST_UNCOUNTED`."""
    PAUSE = "pause"
    """Where others are refused too, our configuration is wrong: stop all calls, burn no attempt, probe. Where others
    are answered it is this transaction's own fault: again with backoff, until the budget is spent."""

    @property
    def is_permanent(self) -> bool:
        """Whether it would fail the same way again, but perhaps for what is new."""
        return self in (Action.PERMANENT, Action.PERMANENT_UNLESS_NEW)


class Blame(StrEnum):
    """Whose fault a failure is, which decides whether it speaks for pausing all calls."""

    TRANSACTION = "transaction"
    PROOF = "upstream"
    """Stored by its former name, so that an older version can run beside this one."""
    CONFIGURATION = "configuration"
    NOBODY = "nobody"
    """We call too fast. The gate, which stores a blame, never stores this one."""


@dataclass(frozen=True)
class Rule:
    """One row. `None` matches anything; `http_status` may be a number, `4xx`, `5xx`, `any`, or None for no answer."""

    http_status: int | str | None
    error: str | None
    code: str | None
    action: Action
    blame: Blame
    advice: str
    """What a person does about it, in words for the page that shows it."""
    advice_failed: str = ""
    """What a person does once it has given up, where `advice` does not say it."""


_T, _P, _C, _N = Blame.TRANSACTION, Blame.PROOF, Blame.CONFIGURATION, Blame.NOBODY
_RETRY, _ONCE, _PERMANENT = Action.RETRY, Action.RETRY_ONCE, Action.PERMANENT
_PAUSE, _SLOW, _UNLESS_NEW = Action.PAUSE, Action.SLOW_DOWN, Action.PERMANENT_UNLESS_NEW

#: Workers that may die in a row while they work on one reconciliation, before that is held to be the cause.
MOST_CRASHES = 5
#: With which so many have died in a row, it is only tried alone.
MOST_SHARED_CRASHES = 2
#: Events since Proof's last usable answer that bring the next look forward, of one that backs off.
MOST_BROUGHT_FORWARD = 5
#: Where Proof itself says how long to wait, no event makes that shorter.
WAITS_AS_PROOF_SAYS = (429, 503)
#: Failures in a row that are charged to nobody while calls go on; the next ones are the transaction's.
MOST_UNCOUNTED = 10
#: Seconds for which a transaction that the partner watches is new.
NEW_SECONDS = 600.0

_BASE_URL = "Check PROOF_API_URL: something other than Proof answered."
_PROVISION = "Ask Proof to provision an active wallet for this currency and network, then replay."
_ENABLE = "Ask Proof to enable this currency for you, then replay."
#: What a person does about most of what is retried.
WAIT = "Nothing to do: it is retried by itself. If it persists, give Proof's support the request id."
_OWN = "Proof forbids this transaction: give its support the request id."
_CREDENTIALS = "Check or rotate PROOF_CLIENT_TOKEN: Proof does not accept it."
_ADDRESS = "Ask Proof to put this server's address on its allowlist."
_UNUSABLE = "Proof answered about this transaction, but we cannot use the answer: give its support the request id."
_NEW_WORD = "Proof's status is a word that this release does not know: see the overview. Upgrade, then replay."
_ALONE = "A worker died while it worked on this: it is tried alone, by itself."
_KILLER = "Workers died while they worked on this: look at the workers' log, then replay it."

TABLE: tuple[Rule, ...] = (
    # What Proof documents.
    Rule(400, "invalid_request", "currency_not_allowed", _PERMANENT, _T, _ENABLE),
    Rule(400, "invalid_request", None, _PERMANENT, _T, "Proof refuses the request as it is: check the identifier."),
    Rule(400, "wallet_not_supported", None, _PERMANENT, _T, _PROVISION),
    Rule(401, "unauthorised", None, _PAUSE, _C, _CREDENTIALS),
    Rule(403, "forbidden", "forbidden_origin", _PAUSE, _C, _ADDRESS),
    Rule(403, "forbidden", "forbidden", _PAUSE, _C, "Proof forbids the call: check token and allowlist with Proof."),
    Rule(403, "forbidden", "invalid_token", _PAUSE, _C, _CREDENTIALS),
    Rule(403, "forbidden", "missing_token", _PAUSE, _C, _CREDENTIALS),
    Rule(404, "not_found", None, _UNLESS_NEW, _T, "Proof does not know this id, or it is not yours: verify it."),
    Rule(500, "internal_error", None, _ONCE, _P, "A fault in Proof's proxy: contact Proof's support if it persists."),
    Rule(500, "publish_failed", None, _RETRY, _P, WAIT),
    Rule(502, "upstream_error", None, _RETRY, _P, WAIT),
    Rule(502, "upstream_unavailable", None, _RETRY, _P, WAIT),
    # What it does not: a proxy in between, limits, an outage, an unbelievable success.
    Rule(200, UPSTREAM_UNAVAILABLE, INVALID_RESPONSE, _RETRY, _P, "Proof's answer made no sense. " + WAIT),
    Rule("2xx", UPSTREAM_UNAVAILABLE, UNUSABLE, _RETRY, _T, _UNUSABLE),
    Rule("2xx", UPSTREAM_UNAVAILABLE, UNKNOWN_STATUS, _RETRY, _T, _NEW_WORD),
    Rule(401, None, None, _PAUSE, _C, "Something asks for credentials we do not have. " + _BASE_URL),
    Rule(403, UNRECOGNISED, None, _RETRY, _P, "A firewall or proxy refused the call. " + _BASE_URL),
    Rule(403, "offramp_disabled", None, _PERMANENT, _T, "Ask Proof to enable selling for you, then replay."),
    Rule(403, None, None, _RETRY, _T, _OWN),
    Rule(408, None, None, _RETRY, _P, WAIT),
    Rule(425, None, None, _RETRY, _P, WAIT),
    Rule(422, "kyc_required", None, _PERMANENT, _T, "The user must pass Proof's identity check first, then replay."),
    Rule(429, None, None, _SLOW, _N, "We call too fast: lower PROOF_MAX_CALLS_PER_SECOND if it persists."),
    Rule(503, None, None, _RETRY, _P, WAIT),
    Rule(504, None, None, _RETRY, _P, WAIT),
    Rule("2xx", None, None, _RETRY, _P, "Proof's answer made no sense. " + WAIT),
    Rule("3xx", None, None, _RETRY, _P, "A redirect is never followed. " + _BASE_URL),
    Rule("4xx", UNRECOGNISED, None, _RETRY, _P, _BASE_URL),
    Rule("4xx", None, None, _PERMANENT, _T, "Proof refuses the request: give its support the request id."),
    Rule("5xx", None, None, _RETRY, _P, WAIT),
    Rule("any", None, None, _RETRY, _P, "No HTTP status that ends a call. " + _BASE_URL),
    # No answer at all.
    Rule(None, INVALID_REQUEST, UNSENDABLE_ID, _PERMANENT, _T, "No URL can carry this id, so Proof was not asked."),
    Rule(None, None, TIMEOUT, _RETRY, _P, "Proof did not answer in time. " + WAIT),
    Rule(None, None, CONNECTION_FAILED, _RETRY, _P, "Proof cannot be reached: check PROOF_API_URL and the network."),
    Rule(None, None, TLS_FAILED, _RETRY, _P, "No trusted connection to Proof: check its certificate and ours."),
    Rule(None, None, None, _RETRY, _P, WAIT),
    # No worker that came back with an answer.
    Rule(None, WORKER_DIED, LEASE_EXPIRED, Action.RETRY_ALONE, _T, _ALONE, _KILLER),
)


@dataclass(frozen=True)
class Budget:
    """How long a reconciliation is retried before a person has to look. Time in which all calls were paused is free."""

    attempts: int = 20
    age_seconds: float = 24 * 3600.0
    base_seconds: float = 2.0
    cap_seconds: float = 600.0
    retry_after_cap_seconds: float = 3600.0


@dataclass(frozen=True)
class Spent:
    """What of its budget a reconciliation has used, the failure at hand included."""

    attempts: int
    single_retries: int
    """How many of them ended in a failure that is retried once."""
    age_seconds: float
    """Since its first failure, less the time in which all calls were paused."""
    crashes: int = 0
    """Workers in a row that died while they worked on it."""
    is_new: bool = False
    """Whether the partner has begun to watch it within `NEW_SECONDS`."""


@dataclass(frozen=True)
class Decision:
    rule: Rule
    gives_up: bool
    """Whether it becomes `failed` and waits for a person; otherwise it is tried again."""
    reason: str
    """Why, in words for the person who looks at it."""


def rule_for(failure: Failure) -> Rule:
    """The row of `TABLE` that decides; every failure has one."""
    return _rule_for(failure.http_status, failure.error, failure.code)


def decide(failure: Failure, spent: Spent, budget: Budget) -> Decision:
    """Whether to try again, once it is charged. What is not charged needs no decision: it is tried again."""
    rule = rule_for(failure)
    if rule.action is Action.PERMANENT or (rule.action is Action.PERMANENT_UNLESS_NEW and not spent.is_new):
        return Decision(rule, True, "not retried: it would fail the same way again")
    if rule.action is Action.RETRY_ALONE:
        if spent.crashes >= MOST_CRASHES:
            return Decision(rule, True, f"gave up: {spent.crashes} workers died with it")
        return Decision(rule, False, "taken back from a worker that died; tried alone")
    if rule.action is Action.RETRY_ONCE and spent.single_retries > 1:
        return Decision(rule, True, "retried once, as Proof advises, and failed again")
    if spent.attempts >= budget.attempts:
        return Decision(rule, True, f"gave up after {spent.attempts} attempts")
    if spent.age_seconds >= budget.age_seconds:
        return Decision(rule, True, f"gave up after {spent.age_seconds / 3600:.1f} hours of failing")
    return Decision(rule, False, "retried with backoff")


#: The errors that have a row, as what happens is counted by.
KNOWN_ERRORS = frozenset(rule.error for rule in TABLE if rule.error)
#: What a client of `POST /widget/session` must retry by itself, with the same body (proof/README.md).
_OPENED_AGAIN = (502, "upstream_error")
#: 4xx that do not say that the request was refused.
_UNCLEAR = frozenset({408, 425, 499})


def is_opened_again(failure: Failure) -> bool:
    """Whether a session that failed so is to be opened again with the same body; nothing else is, for that might open
    a second one."""
    return (failure.http_status, failure.error) == _OPENED_AGAIN


def has_opened_nothing(failure: Failure) -> bool:
    """Whether Proof has surely opened no session; else nobody knows."""
    if is_opened_again(failure):
        return True
    return failure.http_status is not None and 400 <= failure.http_status <= 499 and failure.http_status not in _UNCLEAR


@lru_cache(maxsize=1024)
def _rule_for(http_status: int | None, error: str, code: str) -> Rule:
    return max((rule for rule in TABLE if _matches(rule, http_status, error, code)), key=_weight)


def _matches(rule: Rule, http_status: int | None, error: str, code: str) -> bool:
    if isinstance(rule.http_status, str):
        if http_status is None or rule.http_status not in ("any", f"{http_status // 100}xx"):
            return False
    elif rule.http_status != http_status:
        return False
    return rule.error in (None, error) and rule.code in (None, code)


def _weight(rule: Rule) -> tuple[int, int, int]:
    exact_status = 2 if isinstance(rule.http_status, int) else 0 if rule.http_status == "any" else 1
    return exact_status, int(rule.error is not None), int(rule.code is not None)
