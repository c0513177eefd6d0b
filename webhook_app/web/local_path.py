"""Where a redirect may lead: nowhere but to our own pages. Paths are ours, without the prefix that a proxy adds."""

from __future__ import annotations

import re

from flask import request

#: A path of ours. Browsers take `//host` and `/\\host` for another host, and overlook tabs and newlines.
_LOCAL = re.compile(r"/(?:[!-\[\]-~][!-\[\]-~]*)?")


def local_path(target: str | None) -> str:
    """`target` when it is a path on this site, else `/`."""
    if not target or len(target) > 2000 or target.startswith("//") or not _LOCAL.fullmatch(target):
        return "/"
    return target


def outer_path(path: str) -> str:
    """A path of ours as browsers have to ask for it: under the proxy's prefix, where there is one."""
    return f"{request.script_root}{path}"
