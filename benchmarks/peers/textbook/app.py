"""The web application: validate, insert, commit, enqueue."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, jsonify, request
from marshmallow import EXCLUDE, Schema, ValidationError, fields
from redis import Redis
from rq import Queue
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from benchmarks.peers.textbook.jobs import confirm
from benchmarks.peers.textbook.models import Event, make_engine


class EventSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    merchant_transaction_id = fields.String(required=True)
    type = fields.String()
    status = fields.String(required=True)
    currency = fields.String()
    network = fields.String()
    crypto_amount = fields.Decimal()
    fiat_currency = fields.String()
    fiat_amount = fields.Decimal()
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime(required=True)


def create_app() -> Flask:
    app = Flask(__name__)
    engine = make_engine()
    queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
    schema = EventSchema()

    @app.get("/healthz")
    def health() -> Any:
        return "alive"

    @app.post("/webhooks/proof")
    def receive() -> Any:
        try:
            values = schema.load(request.get_json())
        except ValidationError as error:
            return jsonify(error="invalid_request", fields=error.messages), 400
        with Session(engine) as session:
            event = Event(**values, body=request.get_data())
            session.add(event)
            try:
                session.commit()
            except IntegrityError:
                session.rollback()
                key = ("merchant_transaction_id", "status", "updated_at")
                known = session.scalars(select(Event.id).filter_by(**{name: values[name] for name in key})).one()
                return jsonify(event_id=known, duplicate=True), 200
            event_id = event.id
        queue.enqueue(confirm, event_id)
        return jsonify(event_id=event_id, duplicate=False), 202

    return app
