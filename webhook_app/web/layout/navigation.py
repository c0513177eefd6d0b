"""The pages' menu: what there is, and who may go there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app, request

from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import Person
from webhook_app.web.local_path import outer_path


@dataclass(frozen=True)
class Item:
    label: str
    path: str
    roles: Sequence[Role] = (Role.ADMIN,)


#: In the menu's order. One whose path no page serves is left out.
ITEMS = (
    Item("Overview", "/", ACCOUNT_ROLES),
    Item("Transactions", "/transactions", ACCOUNT_ROLES),
    Item("Discrepancies", "/discrepancies", ACCOUNT_ROLES),
    Item("Deliveries", "/deliveries"),
    Item("Rejected", "/rejections"),
    Item("Spool", "/spool"),
    Item("Drift", "/drift"),
    Item("Audit", "/audit"),
    Item("Tokens", "/tokens"),
    Item("RQ", "/rq/"),
)


@dataclass(frozen=True)
class Entry:
    """An item as it is shown."""

    label: str
    path: str
    is_current: bool


def menu(person: Person | None) -> Sequence[Entry]:
    """What this person may go to; nothing for nobody."""
    return [Entry(item.label, outer_path(item.path), _is_current(item)) for item in _open_to(person)]


def _open_to(person: Person | None) -> Sequence[Item]:
    if person is None:
        return []
    served = {rule.rule for rule in current_app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    return [item for item in ITEMS if item.path in served and person.role in item.roles]


def _is_current(item: Item) -> bool:
    if item.path == "/":
        return request.path == "/"
    return f"{request.path}/".startswith(f"{item.path.rstrip('/')}/")
