"""Passwords: what is a good one, and how one is kept."""

from __future__ import annotations

import secrets
import unicodedata

from werkzeug.security import check_password_hash, generate_password_hash

from webhook_app.usecases.refusals import Refused

SHORTEST = 10
LONGEST = 200

#: OWASP's advice for scrypt at 32 MiB: N = 2^15, r = 8, p = 3. The parameters stand in each hash.
_METHOD = "scrypt:32768:8:3"
_FEWEST_CHARACTERS = 5
#: What no password is known to hash to; checking one against it takes the usual work.
_HASH_OF_NOTHING = f"{_METHOD}$0123456789abcdef${'0' * 128}"


def check_password_rules(password: str, account_name: str) -> None:
    """Raises Refused for one that is too short, too long, too uniform, or the account's own name."""
    if len(password) < SHORTEST:
        raise Refused(f"A password needs at least {SHORTEST} characters; this one has {len(password)}.")
    if len(password) > LONGEST:
        raise Refused(f"A password may have at most {LONGEST} characters; this one has {len(password)}.")
    if len(set(password)) < _FEWEST_CHARACTERS:
        raise Refused(f"A password needs at least {_FEWEST_CHARACTERS} different characters.")
    if account_name.casefold() in password.casefold() and len(password) - len(account_name) < SHORTEST - 2:
        raise Refused("A password must not be little more than the account's name.")


def make_password() -> str:
    """A new one, of 120 random bits."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    return generate_password_hash(_normal(password), _METHOD)


def matches(password: str, password_hash: str | None) -> bool:
    """Whether the hash is of this password; as much work for None, which no password matches."""
    if len(password) > LONGEST:
        password, password_hash = "", None
    return check_password_hash(password_hash or _HASH_OF_NOTHING, _normal(password))


def _normal(password: str) -> str:
    """One spelling for what two keyboards type differently; always encodable."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode("utf-8"))
