"""The textbook's way: Flask, SQLAlchemy's ORM, a marshmallow schema, one RQ job for each event; under gunicorn."""
