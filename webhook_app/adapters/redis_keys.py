"""How keys in Redis begin. RQ reads RQ_KEY_PREFIX itself, as it is imported; ours lie below it where it is set, so that
two installations may share one database of Redis."""

from __future__ import annotations

from rq.defaults import RQ_KEY_PREFIX

#: Of RQ's keys, its colon included.
RQ = f"{RQ_KEY_PREFIX}:"

#: Of our own.
OURS = "webhook-app:" if RQ_KEY_PREFIX == "rq" else f"{RQ}webhook-app:"
