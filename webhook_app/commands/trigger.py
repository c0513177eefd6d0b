"""`webhook-app trigger`: has the sandbox make a payment or a fault, from a shell. It never speaks to Proof itself."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

import click
import urllib3

from webhook_app.commands.start import start_command
from webhook_app.console import say
from webhook_app.domain.networks import read_address
from webhook_app.domain.text import is_usable_id, visible_line

#: The fault of an outage, as the sandbox's page has it on a button.
_OUTAGE = "service_unavailable"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST_SECONDS = 86_400.0


class _Duration(click.ParamType[float]):
    """`60s`, `5m`, `1h`, or seconds alone."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)", str(value))
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
        if not 0 < seconds <= _LONGEST_SECONDS:
            self.fail(f"{value!r} is no duration up to a day, such as 60s, 5m or 1h.", param, ctx)
        return seconds


def _usable_id(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not is_usable_id(text):
        raise click.BadParameter("must be 1 to 128 letters, digits and . _ : -")
    return text


@click.group()
def trigger() -> None:
    """Have the sandbox make a payment or a fault. Its page does the same, and more."""


@trigger.command("payment")
@click.option(
    "--outcome",
    type=click.Choice(["any", "completed", "failed", "cancelled", "retried", "manual"]),
    default="completed",
    show_default=True,
    help="How it ends.",
)
@click.option("--type", "kind", type=click.Choice(["buy", "sell"]), help="Otherwise either.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True)
def payment(outcome: str, kind: str | None, count: int) -> None:
    """Start payments that move by themselves, with their webhooks. Prints their ids."""
    body = {"outcome": outcome, "count": count, **({"type": kind} if kind else {})}
    for one in _call("POST", "/sandbox/lifecycles", body)["ids"]:
        say(one)


@trigger.command("webhook")
@click.argument("merchant_transaction_id", metavar="ID", callback=_usable_id)
def webhook(merchant_transaction_id: str) -> None:
    """Send the webhook of a transaction's last change once more."""
    _call("POST", f"/sandbox/transactions/{quote(merchant_transaction_id, safe='')}/webhook", {})
    say("Its webhook is sent once more.")


@trigger.command("outage")
@click.option("--for", "seconds", type=_Duration(), required=True, help="Such as 60s or 5m.")
def outage(seconds: float) -> None:
    """Let Proof be down for a while: every call is answered with 503."""
    _call("POST", "/sandbox/faults", {"faults": [_OUTAGE], "for_seconds": seconds, "calls": "all"})
    say(f"Every call to the sandbox fails for {seconds:g} s. `webhook-app trigger clear` ends that.")


@trigger.command("fault")
@click.argument("name")
@click.option("--for", "seconds", type=_Duration(), help="Into every call, for so long.")
@click.option("--rate", type=click.FloatRange(0, 1), help="Into such a share of all calls; 0 takes it away.")
@click.option("--id", "merchant_transaction_id", callback=_usable_id, metavar="MTID", help="Into the next of this one.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Into so many calls.")
def fault(
    name: str, seconds: float | None, rate: float | None, merchant_transaction_id: str | None, count: int
) -> None:
    """Inject the fault NAME into calls; `webhook-app trigger faults` lists them."""
    given = [value for value in (seconds, rate, merchant_transaction_id) if value is not None]
    if len(given) > 1:
        raise click.UsageError("Give one of --for, --rate and --id.")
    body: dict[str, Any] = {"faults": [{"name": name, "count": count}], "calls": "all"}
    if seconds is not None:
        body = {"faults": [name], "calls": "all", "for_seconds": seconds}
    elif rate is not None:
        body = {"faults": [name], "calls": "all", "rate": rate}
    elif merchant_transaction_id is not None:
        body = {"faults": [{"name": name, "count": count}], "transaction": merchant_transaction_id}
    _call("POST", "/sandbox/faults", body)
    say(f"{name} is injected. `webhook-app trigger clear` takes all faults away.")


@trigger.command("faults")
def faults() -> None:
    """Name, HTTP status and meaning of every fault that there is, separated by tabs."""
    for one in _call("GET", "/sandbox/faults", None)["table"]:
        say("\t".join(visible_line(str(field)) for field in (one["name"], one["status"] or "-", one["meaning"])))


@trigger.command("clear")
def clear() -> None:
    """Take all faults away."""
    _call("DELETE", "/sandbox/faults", None)
    say("No fault is injected any more.")


def _call(method: str, path: str, body: dict[str, Any] | None) -> Any:
    """The sandbox's answer. Raises ClickException where there is none that may be asked, or where it refuses."""
    address = start_command("trigger").proof_api_url
    if address is None:
        raise click.ClickException(
            "No sandbox is known here: start one with `make run`, or set PROOF_API_URL to its address."
        )
    host = urlsplit(address).hostname or ""
    found = read_address(host)
    if host != "localhost" and (found is None or not found.is_loopback):
        raise click.ClickException(f"{host} is no sandbox of ours, which are on this machine: nothing was sent there.")
    try:
        answer = urllib3.request(method, f"{address}{path}", json=body, retries=False, timeout=10)
    except urllib3.exceptions.HTTPError as error:
        raise click.ClickException(f"The sandbox at {address} does not answer: {type(error).__name__}.") from None
    try:
        told = json.loads(answer.data)
    except ValueError:
        told = None
    if answer.status >= 400 or not isinstance(told, dict):
        said = told.get("message") if isinstance(told, dict) else None
        raise click.ClickException(visible_line(f"The sandbox refuses: {said or f'HTTP {answer.status}'}"))
    return told
