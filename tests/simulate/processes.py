"""The processes: by its role, what each does. It calls the real use cases as its real counterpart does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.simulate.clocks import run_clock
from tests.simulate.machinery import Machinery
from tests.simulate.plan import Process
from tests.simulate.webs import run_web
from tests.simulate.workers import run_fast, run_foreign, run_slow

ROLES: Mapping[str, Callable[[Machinery, Process], None]] = {
    "web": run_web,
    "fast": run_fast,
    "slow": run_slow,
    "clock": run_clock,
    "foreign": run_foreign,
}
