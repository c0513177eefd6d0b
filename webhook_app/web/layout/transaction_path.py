"""The address of a transaction's page, for whoever leads there."""

from __future__ import annotations

from urllib.parse import quote

from webhook_app.web.local_path import outer_path

#: What a path may have unquoted (https://url.spec.whatwg.org/#path-percent-encode-set).
_SAFE = "!$&'()*+,:;=@"
#: A browser takes these, in any spelling, for steps within a path: what is called so is asked for by a query.
_STEPS = (".", "..")


def transaction_path(merchant_transaction_id: str) -> str:
    """As browsers have to ask for it. A list has fifty: this takes a tenth of Flask's `url_for`."""
    if merchant_transaction_id in _STEPS:
        return outer_path(f"/transaction?id={merchant_transaction_id}")
    return outer_path(f"/transactions/{quote(merchant_transaction_id, safe=_SAFE)}")
