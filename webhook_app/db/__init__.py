"""The way to SQL: engine, sessions, column types. SQLite and PostgreSQL behave alike above this package."""
