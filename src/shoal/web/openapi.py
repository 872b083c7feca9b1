"""The description of the HTTP API, made out of the table of verbs.

OpenAPI 3.1: what `shoal api` prints, and who asks for /openapi.json gets.
"""

from typing import Any

import msgspec

from shoal import __version__
from shoal.web.verbs import VERBS, Verb

REFERENCE = "#/components/schemas/{name}"
FAILURE = {
    "type": "object",
    "required": ["error", "kind"],
    "properties": {
        "error": {"type": "string", "description": "what happened"},
        "kind": {"type": "string", "description": "the name of the exception"},
        "reasons": {"type": "object", "additionalProperties": {"type": "string"}},
        "advice": {"type": "string", "description": "what to do next"},
    },
}


def describe() -> dict[str, Any]:
    """The whole document."""
    kinds = [kind for verb in VERBS.values() for kind in (verb.takes, *verb.gives)]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shoal", "version": __version__, "description": "One peer-to-peer node."},
        "servers": [{"url": "http://127.0.0.1"}],
        "security": [{"token": []}],
        "paths": {f"/v1/{name}": paths_of(name, verb) for name, verb in VERBS.items()},
        "components": {
            "schemas": {**schemas, "Failure": FAILURE},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def paths_of(name: str, verb: Verb) -> dict[str, Any]:
    body = {"required": False, "content": {"application/json": {"schema": schema(verb.takes)}}}
    about = {
        "operationId": name,
        "summary": (verb.takes.__doc__ or "").strip(),
        "responses": {"200": answers(verb), "default": failure()},
    }
    paths: dict[str, Any] = {"post": {**about, "requestBody": body}}
    if verb.looks:
        paths["get"] = {**about, "operationId": f"look_{name}"}
    return paths


def answers(verb: Verb) -> dict[str, Any]:
    kinds = [schema(kind) for kind in verb.gives]
    event = kinds[0] if len(kinds) == 1 else {"oneOf": kinds}
    lines = "application/json" if len(kinds) == 1 else "application/x-ndjson"
    return {
        "description": "each event is a line of JSON, or a server-sent event",
        "content": {lines: {"schema": event}, "text/event-stream": {"schema": event}},
    }


def failure() -> dict[str, Any]:
    reference = {"$ref": REFERENCE.format(name="Failure")}
    return {"description": "it failed", "content": {"application/json": {"schema": reference}}}


def schema(kind: type) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=kind.__name__)}
