"""Hostile requests over real sockets: `make fuzz`, and a short part in the tests."""
