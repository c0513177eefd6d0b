"""Faults injected into the running service, and who is told of each: pages, people, programs and Prometheus."""
