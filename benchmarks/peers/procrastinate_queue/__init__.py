"""procrastinate: a job queue in PostgreSQL itself, its workers on asyncio."""
