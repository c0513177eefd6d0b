"""What a page says, and hostile text that it must not run."""

from __future__ import annotations

import html
import re

EVIL = "'\"><img src=x onerror=alert(1)>; DROP TABLE transactions; --"


def ids(page: str) -> list[str]:
    """The transactions that the page leads to, in its order."""
    return re.findall(r'<a href="/transactions/([^"#]+)"(?: title="[^"]*")?>', page)


def in_words(page: str) -> str:
    """The text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
