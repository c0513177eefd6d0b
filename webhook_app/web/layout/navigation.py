"""The pages' menu: what there is, who may go there, and how much waits there for a person; and whether Proof is a
sandbox."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from flask import current_app, request
from werkzeug.routing import Map

from webhook_app.domain.networks import read_address
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import Person
from webhook_app.usecases.people_needed import MOST_COUNTED, PeopleNeeded
from webhook_app.web.errors import DATABASE_UNAVAILABLE
from webhook_app.web.local_path import outer_path
from webhook_app.web.requests import get_services


@dataclass(frozen=True)
class Item:
    label: str
    path: str
    roles: Sequence[Role] = (Role.ADMIN,)
    below: Sequence[str] = ()
    """Other paths that belong to it."""


#: In the menu's order. One whose path no page serves is left out.
ITEMS = (
    Item("Overview", "/", ACCOUNT_ROLES),
    Item("Payments", "/transactions", ACCOUNT_ROLES, ("/transaction-totals",)),
    Item("Discrepancies", "/discrepancies", ACCOUNT_ROLES),
    Item("Deliveries", "/deliveries"),
)
#: Behind "More".
MORE = (
    Item("Incidents", "/incidents", ACCOUNT_ROLES),
    Item("Scorecard", "/scorecard", ACCOUNT_ROLES),
    Item("Replays", "/replays"),
    Item("Rejected requests", "/rejections"),
    Item("Spool", "/spool"),
    Item("Drift", "/drift"),
    Item("RQ dashboard", "/rq/"),
    Item("Audit log", "/audit"),
    Item("API tokens", "/tokens"),
)


@dataclass(frozen=True)
class Entry:
    """An item as it is shown. `count` is what waits there for a person, empty for nothing."""

    label: str
    path: str
    is_current: bool
    count: str = ""
    counted: str = ""
    """What the number counts."""


@dataclass(frozen=True)
class Menu:
    entries: Sequence[Entry]
    more: Sequence[Entry]

    @property
    def is_in_more(self) -> bool:
        return any(entry.is_current for entry in self.more)


def make_menu(person: Person | None) -> Menu | None:
    """What this person may go to; None for nobody."""
    if person is None:
        return None
    served = _served(current_app.url_map)
    needed = _people_needed()
    counts = {"/discrepancies": (needed.discrepancies, "open"), "/deliveries": (needed.failed_deliveries, "failed")}

    def enter(items: Sequence[Item]) -> list[Entry]:
        return [
            Entry(item.label, outer_path(item.path), _is_current(item), *_written(*counts.get(item.path, (0, ""))))
            for item in items
            if item.path in served and person.role in item.roles
        ]

    return Menu(enter(ITEMS), enter(MORE))


@lru_cache(8)
def _served(url_map: Map) -> Set[str]:
    """The paths that are served; of an application they stay as they are once it answers."""
    return {rule.rule for rule in url_map.iter_rules() if "GET" in (rule.methods or ())}


def proof_sandbox() -> tuple[bool, str | None]:
    """Whether Proof is a sandbox; and its page's address, where both it and who asks are on this host."""
    settings = get_services().settings
    address = read_address(request.remote_addr)
    is_here = address is not None and address.is_loopback
    return settings.is_sandbox, settings.proof_api_url if settings.is_sandbox and is_here else None


def _people_needed() -> PeopleNeeded:
    """Nothing, where the database cannot tell: the page itself says that."""
    try:
        return get_services().people_needed.get()
    except DATABASE_UNAVAILABLE:
        return PeopleNeeded()


def _written(count: int, counted: str) -> tuple[str, str]:
    if not count:
        return "", ""
    return (f"{count}" if count < MOST_COUNTED else f"{MOST_COUNTED - 1}+"), counted


def _is_current(item: Item) -> bool:
    if item.path == "/":
        return request.path == "/"
    return any(f"{request.path}/".startswith(f"{path.rstrip('/')}/") for path in (item.path, *item.below))
