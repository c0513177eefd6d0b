"""Watch, sessions, hints and the scorecard over HTTP: routes, schemas, pages."""
