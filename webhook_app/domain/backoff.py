"""How long to wait before the next attempt: exponential, jittered over the whole step, capped."""

from __future__ import annotations

import random

from webhook_app.domain.retry_policy import Budget


def backoff_seconds(failures: int, budget: Budget, retry_after: float | None, rng: random.Random) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1, 2, …); never less than Proof's `Retry-After`.

    The n-th wait is uniform between the ceilings of two neighbouring steps, base·2^(n-2) and base·2^(n-1), the first
    between 0 and base. So waits spread over a step's full width and no two clients fall into line, and still each wait
    is longer than the one before, which jitter from zero would not give. Once the cap is reached, waits spread between
    its half and itself.
    """
    ceiling = min(budget.cap_seconds, budget.base_seconds * 2.0 ** min(failures - 1, 60))
    floor = 0.0 if failures <= 1 else ceiling / 2
    wait = rng.uniform(floor, ceiling)
    if retry_after is not None:
        wait = max(wait, min(retry_after, budget.retry_after_cap_seconds))
    return wait
