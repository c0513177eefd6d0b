"""Addresses as proxies write them, and the networks that they count by."""

from __future__ import annotations

import pytest

from webhook_app.domain.networks import network_of, read_address, read_forwarded_address


@pytest.mark.parametrize(
    "text",
    [
        *("203.0.113.9", " 203.0.113.9 ", "203.0.113.9:51234", "203.0.113.9:_port", '"203.0.113.9"', '"203.0.113.9:1"'),
        *("[203.0.113.9]:80", "::ffff:203.0.113.9", "[::ffff:203.0.113.9]", "[::FFFF:203.0.113.9]:443"),
    ],
)
def test_ipv4_address_is_read_with_port_brackets_and_quotes(text: str) -> None:
    assert str(read_forwarded_address(text)) == "203.0.113.9"


@pytest.mark.parametrize("text", ["2001:db8::9", "[2001:db8::9]", "[2001:DB8:0::9]:443", '"[2001:db8::9]:_x"'])
def test_ipv6_address_is_read_with_port_brackets_and_quotes(text: str) -> None:
    assert str(read_forwarded_address(text)) == "2001:db8::9"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "unknown",
            "_hidden",
            "unix:",
            "localhost",
            "203.0.113",
            "203.0.113.9.1",
            "203.0.113.09",
            "203.0.113.9/32",
        ),
        *("203.0.113.9:", "203.0.113.9:port", "203.0.113.9:123456", "203.0.113.9 203.0.113.8", "[203.0.113.9", "[]:1"),
        *(
            "[2001:db8::9]:",
            "2001:db8::9]",
            "2001:db8::9:1:2:3:4:5:6:7",
            "3405803785",
            "0x7f000001",
            "\x00",
            "x" * 5000,
        ),
    ],
)
def test_what_is_no_address_is_not_guessed_at(text: str) -> None:
    assert read_forwarded_address(text) is None


def test_server_has_no_address_for_a_unix_socket() -> None:
    assert read_address(None) is None
    assert read_address("unix:") is None


@pytest.mark.parametrize(
    ("text", "single", "narrow"),
    [
        ("203.0.113.9", "203.0.113.9/32", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.9/32", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("::1", "::/64", "::/64"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/64"),
        (None, "unknown", "unknown"),
        ("nonsense", "unknown", "unknown"),
    ],
)
def test_network_is_a_prefix(text: str | None, single: str, narrow: str) -> None:
    assert network_of(text, 32) == single
    assert network_of(text, 24) == narrow
