"""The description of the API: as it is stored, as OpenAPI is, and as the API is."""

import re

import jsonschema

from cpml_jax.serve import api, openapi


def test_the_description_is_current_and_names_every_address():
    assert openapi.stored() == openapi.text(), "python -m cpml_jax.serve.openapi writes it anew"
    described = openapi.document()
    served = {(method, route.path) for route in api.routes() for method in route.methods - {"HEAD"}}
    assert served == {
        (method.upper(), path)
        for path, item in described["paths"].items()
        for method in item.keys() & {"get", "post", "put", "delete"}
    }
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(OPENAPI).validate(described)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', openapi.stored()))
    assert names <= described["components"]["schemas"].keys() and "$defs" not in openapi.stored()


# The parts of OpenAPI 3.1's own schema that this description uses.
_RESPONSE = {
    "type": "object", "required": ["description"], "additionalProperties": False,
    "properties": {"description": {"type": "string"}, "headers": {}, "content": {"type": "object"}},
}  # fmt: skip
_PARAMETER = {
    "type": "object", "required": ["name", "in", "schema"], "additionalProperties": False,
    "properties": {key: {} for key in ("name", "schema", "description", "required", "allowEmptyValue")}
    | {"in": {"enum": ["query", "header", "path", "cookie"]}},
    "if": {"properties": {"in": {"const": "path"}}}, "then": {"required": ["required"]},
}  # fmt: skip
_OPERATION = {
    "type": "object", "required": ["responses", "operationId"], "additionalProperties": False,
    "properties": {
        "operationId": {"type": "string"}, "summary": {"type": "string"},
        "parameters": {"type": "array", "items": _PARAMETER},
        "requestBody": {"type": "object", "required": ["content"]},
        "responses": {"type": "object", "minProperties": 1, "additionalProperties": False,
                      "patternProperties": {"^[1-5][0-9][0-9]$": _RESPONSE}},
    },
}  # fmt: skip
OPENAPI = {
    "type": "object", "required": ["openapi", "info", "paths"], "additionalProperties": False,
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d+$"},
        "info": {"type": "object", "required": ["title", "version"]},
        "paths": {"type": "object", "additionalProperties": False, "patternProperties": {"^/": {
            "type": "object", "additionalProperties": False,
            "properties": {"parameters": {"type": "array", "items": _PARAMETER}}
            | {method: _OPERATION for method in ("get", "post", "delete")},
        }}},
        "components": {"type": "object"}, "security": {"type": "array", "items": {"type": "object"}},
    },
}  # fmt: skip
