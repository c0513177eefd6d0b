"""All that writes at once, on PostgreSQL: `make stress`; the tests run a short part."""
