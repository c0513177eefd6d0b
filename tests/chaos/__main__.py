"""`python -m tests.chaos`: runs every part on both engines and prints one table."""

from __future__ import annotations

import collections
import sys

from tests.chaos.rig import print_line, read_json, rig
from tests.chaos.storm import run_storm
from tests.chaos.table import render

if __name__ == "__main__":
    engine = sys.argv[1]
    n = int(sys.argv[2])
    s = float(sys.argv[3])
    seed = int(sys.argv[4])
    with rig(engine, seed, print_line, keep=True) as r:
        rows, v = run_storm(r, lifecycles=n, seconds=s)
        print(render(rows))
        print(v.is_clean, len(v.failed), v.behind)
        for name, exits in r.keeper.lives():
            print(name, exits)
        c = collections.Counter()
        for name, line in r.keeper.log_lines():
            j = read_json(line)
            if not j:
                c[(name.partition("-")[0], "RAW", line[:150])] += 1
            elif j.get("level") in ("error", "warning", "critical"):
                c[
                    (
                        name.partition("-")[0],
                        j["level"],
                        j.get("event", "")[:200],
                        str(j.get("error", j.get("why", j.get("decision"))))[:80],
                    )
                ] += 1
        for k, x in sorted(c.items(), key=lambda t: -t[1])[:80]:
            print(x, k)
