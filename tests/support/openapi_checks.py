"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): its check that valid data is accepted, as far as a schema can say."""

from __future__ import annotations

import schemathesis
from schemathesis.checks import CHECKS

#: What JSON Schema has no words for.
INEXPRESSIBLE = (
    "Must be before ",
    "Must be the next_cursor of an earlier answer",
    "Must not be in the future",
    "Cannot be combined with ",
    "By updated_at only where ",
    "Must not be after the last day",
    "A scorecard has 400 days at most",
    "There is no account ",
    "Must be a time zone's name",
)


@schemathesis.check
def valid_data_is_accepted(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """Replaces `positive_data_acceptance`, which would have each refusal be one that the schema could have told."""
    if "x-proof-request-id" in response.headers:
        return None  # Proof has judged it
    if response.status_code == 400:
        problems = [text for texts in response.json().get("fields", {}).values() for text in texts]
        if problems and all(text.startswith(INEXPRESSIBLE) for text in problems):
            return None
    return CHECKS.get_one("positive_data_acceptance")(ctx, response, case)
