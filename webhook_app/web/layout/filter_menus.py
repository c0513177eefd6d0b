"""Menus of a filter's bar: what can be chosen, by links that keep the rest of the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_form import FilterForm


@dataclass(frozen=True)
class Option:
    text: str
    path: str
    is_chosen: bool


@dataclass(frozen=True)
class Menu:
    """One field, or a few that belong together: `chosen` in words, and where `clear_path` takes it away."""

    name: str
    label: str
    options: Sequence[Option] = ()
    chosen: str = ""
    clear_path: str = ""


def make_menu(form: FilterForm[Any], name: str, choices: Mapping[str, str]) -> Menu:
    """Of one field: words by value. In which case a value was typed does not matter."""
    typed = form.typed.get(name, "")
    options = [
        Option(words, url_with(**{name: value, "cursor": None}), value.casefold() == typed.casefold())
        for value, words in choices.items()
    ]
    chosen = next((option.text for option in options if option.is_chosen), typed)
    return Menu(name, form.labels[name], options, chosen, path_without(name))


def path_without(*names: str) -> str:
    """The present address without these fields, at its first page."""
    return url_with(**dict.fromkeys((*names, "cursor")))
