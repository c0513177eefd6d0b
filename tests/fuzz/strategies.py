"""Hostile requests as hypothesis makes them: any JSON, any bytes, any head."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.corpus import HEADERS, ODD_VALUES, PATHS, Hostile, post
from tests.support.events import webhook

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.sampled_from(ODD_VALUES)
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner))
_TOKEN = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}", fullmatch=True)
_VALUE = st.binary(max_size=200).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b""))


@st.composite
def hostile(draw: st.DrawFn) -> Hostile:
    """A webhook with some fields of any value, any JSON, any bytes; with any header and now and then another path."""
    body = draw(st.one_of(_events().map(_encode), _JSON.map(_encode), st.binary(max_size=2000)))
    headers = draw(
        st.sampled_from(HEADERS) | st.builds(lambda name, value: name + b": " + value + b"\r\n", _TOKEN, _VALUE)
    )
    path = draw(st.just(b"/webhooks/proof") | st.sampled_from(PATHS))
    return Hostile("hypothesis", post(body, path, headers))


def _events() -> st.SearchStrategy[dict[str, Any]]:
    fields = webhook()
    changes = st.dictionaries(st.sampled_from(sorted(fields)), _JSON, max_size=4)
    names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=140)
    return st.builds(lambda name, change: fields | {"merchant_transaction_id": name} | change, names, changes)


def _encode(payload: object) -> bytes:
    return json.dumps(payload, allow_nan=True).encode("utf-8", "surrogatepass")
