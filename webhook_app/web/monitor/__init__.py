"""Health, readiness and the overview over HTTP."""
