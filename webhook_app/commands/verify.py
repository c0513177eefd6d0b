"""`webhook-app verify`: whether what must hold at all times holds, over all rows."""

from __future__ import annotations

import time
from functools import partial

import click

from webhook_app.commands.options import open_database
from webhook_app.console import say
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.invariants.checking import verify as verify_all

#: Seconds after which what looks broken is looked at again.
_AGAIN_AFTER = 1.0


@click.command()
def verify() -> None:
    """Check each rule that must hold at all times, over all rows; nothing is changed.

    It may run beside the service, and reads in small portions. Exit codes: 0 all hold; 1 one does not.
    """
    broken = 0
    for rule, breach in verify_all(open_database("verify"), utc_now, partial(time.sleep, _AGAIN_AFTER)):
        say(f"{'✓' if breach is None else '✗'} {rule.name}: {rule.sentence}")
        if breach is None:
            continue
        broken += 1
        for what in breach.named:
            say(f"    {visible_line(what)}")
        if breach.count > len(breach.named):
            say(f"    and {breach.count - len(breach.named)} more")
    if broken:
        rules = "1 rule does" if broken == 1 else f"{broken} rules do"
        say(f"{rules} not hold: keep a backup, and see docs/invariants.md.")
        raise SystemExit(1)
    say("All hold.")
