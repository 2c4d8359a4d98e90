"""Reads just enough of an OpenAPI 3.0 file to check requests and answers against it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.ledger import Request


class Spec:
    """One file of a vendor; references must be expanded in it."""

    def __init__(self, path: Path) -> None:
        self._paths: dict[str, Any] = json.loads(path.read_text())["paths"]

    def operation(self, request: Request) -> dict[str, Any]:
        """Find the operation that a request means: `{…}` in a path stands for one part of it."""
        words = urlsplit(request.path).path.split("/")
        for path, item in self._paths.items():
            parts = path.split("/")
            if len(parts) == len(words) and all(p == w or p[:1] == "{" for p, w in zip(parts, words, strict=True)):
                return item[request.method.lower()]
        raise AssertionError(f"the specification knows no {request.method} {request.path}")

    def check_request(self, request: Request) -> None:
        """Fail where a parameter is missing, unknown or of another type."""
        known = {each["name"]: each for each in self.operation(request)["parameters"] if each["in"] == "query"}
        sent: dict[str, list[str]] = {}
        for name, value in parse_qsl(urlsplit(request.path).query, keep_blank_values=True):
            sent.setdefault(name, []).append(value)
        assert set(sent) <= set(known)
        assert {name for name, each in known.items() if each.get("required")} <= set(sent)
        for name, texts in sent.items():
            schema = known[name]["schema"]
            if schema.get("type") == "array":
                jsonschema.validate(texts, nullable(schema), format_checker=jsonschema.FormatChecker())
            else:
                (text,) = texts
                value = int(text) if schema.get("type") == "integer" else text
                jsonschema.validate(value, nullable(schema), format_checker=jsonschema.FormatChecker())

    def check_answer(self, request: Request, status: int, document: Any) -> None:
        """Fail where the answer is not of the shape that the specification gives for its status."""
        answer = self.operation(request)["responses"][str(status)]
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            jsonschema.validate(document, nullable(schema))


def nullable(schema: Any) -> Any:
    """Turn OpenAPI 3.0's `nullable` into JSON Schema."""
    if isinstance(schema, list):
        return [nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made
