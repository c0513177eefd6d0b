"""FastAPI with asyncpg, under uvicorn with uvloop; the row is what a poller would work from."""
