"""JSON Schema in plain dicts: the parts that the published schemas are put together from.

A schema names a part as {"$ref": "#/$defs/<name>"}; `document` adds the definitions that it, and they, name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

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
