"""The JSON Schemas of docs/schemas, for checking every file that is written against what is published."""

import json
from pathlib import Path

import jsonschema

Invalid = jsonschema.ValidationError
FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def check(name: str, value) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(value)
