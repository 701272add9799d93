"""JSON Schema in plain dicts: the parts that the published schemas are put together from.

A schema names a part as {"$ref": "#/$defs/<name>"}; `document` adds the definitions that it, and they, name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict  # a JSON Schema is plain JSON, nested to any depth


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


STRING, INTEGER, NUMBER, OBJECT = ({"type": name} for name in ("string", "integer", "number", "object"))
OPTIONAL_NUMBER = {"type": ["number", "null"]}
OPTIONAL_STRING = {"type": ["string", "null"]}
COUNT, SHARE, INTERVAL, NAMES = (ref(name) for name in ("count", "share", "interval", "names"))
BASIC: dict[str, Schema] = {
    "count": {"type": "integer", "minimum": 0},
    "share": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "interval": {
        "type": ["array", "null"],
        "items": {"type": "number", "minimum": 0, "maximum": 1},
        "minItems": 2,
        "maxItems": 2,
    },
    "names": {"type": "array", "items": STRING},
}


def array(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def mapping(values: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values}


def closed(properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """An object with these properties and no others; all but the `optional` ones are required."""
    optional = set(optional)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def document(title: str, body: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A whole schema with the definitions that it uses, itself or through others.

    Raises:
      KeyError: it names one that is not among `definitions`.
    """
    used: dict[str, Schema] = {}
    waiting = _references(body)
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting |= _references(used[name])
    defs = {"$defs": {name: used[name] for name in sorted(used)}} if used else {}
    return {"$schema": DIALECT, "title": title, **body, **defs}


def _references(schema: Schema) -> set[str]:
    return set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(schema)))


_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "null": (type(None),), "boolean": (bool,), "integer": (int,),
    "number": (int, float),
}  # fmt: skip


def fault(value: Any, schema: Schema, definitions: Mapping[str, Schema] | None = None, where: str = "") -> str:
    """The first thing in which a JSON value is not as a schema says: "results/0/clip: ..."; "" if there is none.

    Knows the keywords that the schemas of this project use. A number has to be finite.
    """
    definitions = definitions or {}
    if "$ref" in schema:
        return fault(value, definitions[schema["$ref"].rpartition("/")[2]], definitions, where)
    said = _own_fault(value, schema)
    if said:
        return f"{where or 'the document'}: {said}"
    if "oneOf" in schema and all(fault(value, each, definitions, where) for each in schema["oneOf"]):
        each = schema["oneOf"][-1] if len(schema["oneOf"]) == 2 and value is not None else {}
        said = fault(value, each, definitions, where)
        return said or f"{where or 'the document'}: {_shown(value)} is none of its kinds"
    parts: list[tuple[str, Any, Schema]] = []
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts = [(key, item, known.get(key, other)) for key, item in value.items() if known.get(key, other)]
    elif isinstance(value, list):
        first = schema.get("prefixItems", [])
        rest = [schema.get("items", {})] * (len(value) - len(first))
        parts = [(str(i), item, each) for i, (item, each) in enumerate(zip(value, [*first, *rest], strict=False))]
    found = (fault(item, each, definitions, f"{where}/{key}".lstrip("/")) for key, item, each in parts)
    return next(filter(None, found), "")


def _own_fault(value: Any, schema: Schema) -> str:
    """What is wrong with a value itself, without its parts."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kinds and not any(isinstance(value, _KINDS[k]) and (k == "boolean" or value is not bool(value)) for k in kinds):
        return f"{_shown(value)} is no {' or '.join(kinds)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number of JSON"
    if "const" in schema and value != schema["const"]:
        return f"{_shown(value)} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{_shown(value)} is none of {', '.join(map(repr, schema['enum']))}"
    if number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{_shown(value)} is out of its range"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{_shown(value)} is not of its form"
    if isinstance(value, list) and not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f"it has {len(value)} entries"
    if isinstance(value, dict):
        missing = [key for key in schema.get("required", ()) if key not in value]
        known = value if schema.get("additionalProperties", True) is not False else schema.get("properties", {})
        extra = [key for key in value if key not in known]
        if missing or extra:
            return f"it has no {missing[0]!r}" if missing else f"{_shown(extra[0])} has no place in it"
    return ""


def _shown(value: Any) -> str:
    return ascii(value)[:60]
