"""Shrinking: a plan that fails is made smaller, item by item, while it still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulate.plan import NORMAL, Item, Plan
from tests.simulate.run import Outcome

#: Runs that one shrinking costs at most.
_MOST_RUNS = 400


def shrink(plan: Plan, failed: Outcome, go: Callable[[Plan, int], Outcome]) -> Outcome:
    """The failure of the smallest plan that was found, by leaving out halves, quarters and so on (delta debugging)."""
    smallest, kind = failed, _kind(failed)
    kept_always = tuple(item for item in plan.items if item in NORMAL)
    plan = replace(plan, items=tuple(item for item in plan.items if item not in NORMAL))
    rest = plan.items
    portion = max(len(rest) // 2, 1)
    runs = 0
    while portion >= 1 and runs < _MOST_RUNS:
        begins, found = 0, False
        while begins < len(rest) and runs < _MOST_RUNS:
            kept: tuple[Item, ...] = rest[:begins] + rest[begins + portion :]
            runs += 1
            outcome = go(replace(plan, items=kept_always + kept), failed.steps * 3 + 1000)
            if outcome.problem is not None and _kind(outcome) == kind:
                smallest, rest, found = outcome, kept, True
            else:
                begins += portion
        if portion == 1 and not found:
            break
        portion = max(portion // 2, 1) if portion > 1 else 1
    return smallest


def _kind(outcome: Outcome) -> str:
    """What comes before the details: `late`, `lost`, `unsafe: …`."""
    problem = outcome.problem or ""
    return problem.split(":")[0]
