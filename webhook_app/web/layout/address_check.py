"""What is wrong with the address of a page that has no filter, or none but a choice of a few words. Pages with a filter
say it by field (`filter_form.py`); no page overlooks what it was asked for."""

from __future__ import annotations

from collections.abc import Collection

from flask import request


def find_address_problem(**choices: Collection[str]) -> str | None:
    """A sentence on the first part of the query that this page does not know; None where it knows all. `choices` are
    the values that each name may have; the cursor of a list is looked at elsewhere."""
    for name, values in request.args.lists():
        if name == "cursor":
            continue
        if name not in choices:
            return f"There is no filter “{name}” on this page: take it out of the address."
        if len(values) > 1:
            return f"The filter “{name}” is given more than once."
        if values[0] not in choices[name]:
            return f"There is no {name} “{values[0]}”: choose {' or '.join(choices[name])}."
    return None
