"""What exists because HTTP exists: routes, schemas, error answers."""
