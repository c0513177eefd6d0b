"""Keyset pagination: a page begins after the key of the last row of the page before it, so that rows that are added
meanwhile move nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Page(Generic[Item, Key]):
    """One page of a list."""

    items: Sequence[Item]
    next_after: Key | None = None
    """The key after which the next page begins; None on the last page."""


def read_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    key: InstrumentedAttribute[int],
    limit: int,
    after: int | None,
    make_item: Callable[..., Item],
    *,
    is_ascending: bool = False,
) -> Page[Item, int]:
    """The page after the key `after`, or the first one, highest key first; `make_item` gets the columns of each row.

    `key` is an attribute of the entity that is the query's first column.
    """
    rows = session.execute(page_query(query, key, limit, after, is_ascending=is_ascending)).all()
    page = cut_page(rows, limit, lambda row: int(getattr(row[0], key.key)))
    return Page([make_item(*row) for row in page.items], page.next_after)


def page_query(
    query: Select[*tuple[Any, ...]],
    key: InstrumentedAttribute[int],
    limit: int,
    after: int | None,
    *,
    is_ascending: bool = False,
) -> Select[*tuple[Any, ...]]:
    """The rows of the page, and one more where another page follows."""
    if after is not None:
        query = query.where(key > after if is_ascending else key < after)
    return query.order_by(key if is_ascending else key.desc()).limit(limit + 1)


def cut_page(rows: Sequence[Item], limit: int, key_of: Callable[[Item], Key]) -> Page[Item, Key]:
    """A page of `limit` rows, of which one more was read: whether it is there says whether another page follows."""
    items = rows[:limit]
    return Page(items, key_of(items[-1]) if len(rows) > limit else None)


def newest(session: Session, query: Select[Item], key: InstrumentedAttribute[Any], most: int) -> Sequence[Item]:
    """The `most` rows with the highest keys, the lowest of them first."""
    return session.scalars(query.order_by(key.desc()).limit(most)).all()[::-1]
