"""Standing back: who is to wait where the processor is short."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Where Linux groups processes by session, it divides the processor among the groups first, and a nice value counts
#: within one alone (sched(7), "The autogroup feature"). This file holds that of a process's group; a new one has 0.
_OF_GROUP = Path("/proc/self/autogroup")

#: Linux takes one such change in 0.1 s from all who are not its administrator together.
_TRIES, _PAUSE = 20, 0.1


def stand_back(steps: int) -> None:
    """Lowers this process's priority by `steps` of `nice`, and that of the session which it leads, if any: each process
    of a stack leads one, and would have nobody there to stand back for."""
    os.nice(steps)
    if os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            _OF_GROUP.write_text(str(steps))
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:  # no such groups here
            return
        else:
            return
