"""`/openapi.json`: valid, complete, and by the same conventions for every operation that is added."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.services import open_services

VARIABLES = {"REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": "a secret key for tests"}


def document_with(folder: Path, **variables: str) -> tuple[Flask, dict[str, Any]]:
    services = open_services(load_settings(VARIABLES | {"WEBHOOK_APP_DATA_DIR": str(folder)} | variables))
    try:
        app = create_app(services)
        answer = app.test_client().get("/openapi.json")
    finally:
        services.close()
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    return app, answer.json


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, dict[str, Any]]:
    return document_with(tmp_path_factory.mktemp("openapi"))


@pytest.fixture(scope="module")
def app(described: tuple[Flask, dict[str, Any]]) -> Flask:
    return described[0]


@pytest.fixture(scope="module")
def document(described: tuple[Flask, dict[str, Any]]) -> dict[str, Any]:
    return described[1]


def operations(document: Mapping[str, Any], prefix: str = "/") -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and path.startswith(prefix):
                yield method, path, operation


def test_document_is_valid_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/"}]
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    referred_to = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(document)))
    assert referred_to == set(re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', json.dumps(document)))
    there_is = {(kind, name) for kind, named in document["components"].items() for name in named}
    assert there_is - referred_to == {("securitySchemes", "token")}
    assert referred_to <= there_is


def test_every_route_for_programs_is_in_the_document(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.rule in ("/webhooks/proof", "/healthz", "/readyz")
    }
    assert routes == {(method, path) for method, path, _ in operations(document)}


def test_webhook_is_described_at_the_path_where_it_is_taken(tmp_path: Path) -> None:
    _, document = document_with(
        tmp_path, PROOF_WEBHOOK_SECRETS="a-secret-in-the-path", PROOF_WEBHOOK_ALLOWED_IPS="192.0.2.1"
    )
    assert "/webhooks/proof" not in document["paths"]
    assert document["paths"]["/webhooks/proof/{secret}"]["post"]["responses"].keys() == {
        *("200", "202", "400", "403", "404", "408", "413", "503"),
    }
    assert "a-secret-in-the-path" not in json.dumps(document)


def test_every_operation_says_what_it_is_and_answers_with_a_request_id(document: dict[str, Any]) -> None:
    told = list(operations(document))
    assert len({operation["operationId"] for _, _, operation in told}) == len(told)
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    for method, path, operation in told:
        assert operation["summary"], path
        assert all(tags[tag] for tag in operation["tags"]), path
        assert not operation["responses"].keys() & {"422", "default"}, path
        for status, answer in operation["responses"].items():
            answer = _resolved(document, answer)
            assert answer["description"], (method, path, status)
            assert "X-Request-Id" in answer["headers"], (method, path, status)
            if status >= "400" and path != "/readyz":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (method, path, status)


def test_every_operation_of_the_api_is_protected_and_lists_its_errors(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document, "/api/"):
        expected = {"401", "403", "503"}
        if "parameters" in operation or "requestBody" in operation:
            expected.add("400")
        if "{" in path:
            expected.add("404")
        if "requestBody" in operation:
            expected |= {"408", "413"}
        assert operation["security"] == [{"token": []}], (method, path)
        assert "For tokens with the role" in operation["description"], (method, path)
        assert expected <= operation["responses"].keys(), (method, path)


def test_answers_have_all_their_fields_and_no_others(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    answers = [operation["responses"] for _, _, operation in operations(document)]
    answered = _schemas_in(answers, schemas) - {"Error"}
    assert answered >= {"TransactionPage", "Transaction", "Reconciliation", "LastError", "Accepted", "Readiness"}
    for name in answered:
        assert schemas[name]["required"] == sorted(schemas[name]["properties"]), name
        assert schemas[name]["additionalProperties"] is False, name
    assert schemas["Error"]["required"] == ["code", "error", "message"]
    for name, schema in schemas.items():
        untyped = [field for field, told in schema["properties"].items() if not told.keys() & {"type", "$ref", "anyOf"}]
        assert untyped == [], name


def test_fields_of_our_own_have_their_types(document: dict[str, Any]) -> None:
    transaction = document["components"]["schemas"]["Transaction"]["properties"]
    assert transaction["created_at"] == {"type": ["string", "null"], "format": "date-time"}
    assert transaction["crypto_amount"]["type"] == ["string", "null"]
    assert re.fullmatch(transaction["crypto_amount"]["pattern"], "0.00000001")
    assert transaction["status"]["enum"] == ["pending", "processing", "completed", "failed", "cancelled", None]
    listing = document["paths"]["/api/v1/transactions"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in listing}
    assert schemas["created_from"]["anyOf"] == [{"format": "date"}, {"format": "date-time"}]
    assert schemas["currency"]["maxLength"] == 128
    one = document["paths"]["/api/v1/transactions/{merchant_transaction_id}"]["parameters"][0]
    assert re.fullmatch(one["schema"]["pattern"], one["example"])


def _schemas_in(part: Any, schemas: Mapping[str, Any]) -> set[str]:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part)))
    return named.union(*(_schemas_in(schemas[name], schemas) for name in named))


def _resolved(document: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in answer:
        return answer
    resolved: dict[str, Any] = document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    return resolved
