"""The OpenAPI 3.1 document of a table of operations; types tell their own schemas."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from engine.report.attesting import LONGEST_NAME
from engine.report.style import installed_version
from pacsnode.acting.actions import LONGEST_REASON
from pacsnode.web.api.operations import Operation

ROOT: Final = "/api"
_REFUSED: Final = {
    "type": "object",
    "properties": {"status": {"type": "integer"}, "reason": {"type": "string"}},
    "required": ["status", "reason"],
}
_LONGEST: Final = {"reason": LONGEST_REASON, "observer": LONGEST_NAME}
_WHY: Final = {
    "400": "The request cannot be read",
    "401": "Nobody is logged in, or the token is not known",
    "403": "The role is missing, or the token of the form",
    "404": "Nothing of that name is known",
    "409": "That cannot be done where the study stands; the reason says what can",
    "503": "The index or the disk fails now",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Everything under `/api`, as OpenAPI 3.1 has it."""
    adapters = [(one.name, "serialization", TypeAdapter(one.gives)) for one in operations]
    schemas, shared = TypeAdapter.json_schemas(
        adapters,  # type: ignore[arg-type]  # a list of tuples of the three
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        told = _told(one, schemas[one.name, "serialization"])
        paths.setdefault(one.path, {})[one.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pacsnode",
            "version": installed_version(),
            "description": "What the page of a node shows and does. Times are UTC with their "
            "offset; the worklist alone names patients.",
        },
        "servers": [{"url": ROOT}],
        "paths": paths,
        "components": {
            "schemas": {**shared.get("$defs", {}), "Refused": _REFUSED},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
        "security": [{"token": []}, {"csrf": []}, {}],
    }


def _told(operation: Operation, schema: Any) -> dict[str, Any]:
    statuses = ["401", "403", "503"]
    statuses += ["400"] if operation.takes or operation.parameters else []
    statuses += ["404"] if any(one.place == "path" for one in operation.parameters) else []
    statuses += ["409"] if operation.method == "POST" else []
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}}
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the role `{operation.role}`.",
        "parameters": [
            {
                "name": one.name,
                "in": one.place,
                "required": one.place == "path",
                "description": one.description,
                "schema": dict(one.schema),
            }
            for one in operation.parameters
        ],
        "responses": {
            "200": {
                "description": "Done" if operation.method == "POST" else "What was asked for",
                "content": {"application/json": {"schema": schema}},
            },
            **{
                status: {"description": _WHY[status], "content": refused}
                for status in sorted(statuses)
            },
        },
    }
    if operation.takes:
        told["requestBody"] = _body(operation)
    return told


def _body(operation: Operation) -> dict[str, Any]:
    listed = {"type": "array", "items": {"type": "string"}}
    needed = [name for name, _, is_needed in operation.takes if is_needed]
    properties = {
        name: {
            **(listed if name == "findings" else {"type": "string", "maxLength": _LONGEST[name]}),
            "description": description,
        }
        for name, description, _ in operation.takes
    }
    schema = {"type": "object", "properties": properties, "required": needed}
    return {"required": bool(needed), "content": {"application/json": {"schema": schema}}}
