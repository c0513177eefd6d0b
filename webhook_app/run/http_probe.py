"""Asking a server of this machine whether it answers."""

from __future__ import annotations

import http.client


def get(host: str, port: int, path: str, token: str | None = None) -> tuple[int, bytes] | None:
    """Status and body, None when nobody answers. Never by way of a proxy."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def status_of(answer: tuple[int, bytes] | None) -> int | None:
    """None when nobody answered."""
    return answer[0] if answer else None
