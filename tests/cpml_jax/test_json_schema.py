"""Faults of documents, against the package jsonschema, which is no part of the installed program."""

import json
import math

import jsonschema
import pytest
from hostile import texts
from hypothesis import given, settings

from cpml_jax.evaluation import schemas
from cpml_jax.evaluation.heart_rate import Pulse
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import finite
from cpml_jax.json_schema import document, fault
from cpml_jax.prediction.answer import describe
from cpml_jax.prediction.windows import ScoredWindow

WINDOWS = [ScoredWindow(f, 0.5, 0.9, 1.5 - f, Pulse(None, None, 70.0, 1.0, 0.001)) for f in (0, 1)]
ANSWER = json.loads(json.dumps(finite({"video": "a.mp4"} | describe(WINDOWS, Verdict()))))
LINE = {"kind": "x", "n": 3, "names": ["a"], "pair": [0.5, 2], "when": "best", "inner": {"a": {"real": 1, "fake": 2}}}
SCHEMA = {
    "type": "object",
    "required": ["kind", "n"],
    "properties": {
        "kind": {"type": "string", "pattern": "^x"}, "n": {"$ref": "#/$defs/count"},
        "names": {"$ref": "#/$defs/names"}, "when": {"enum": ["best", "latest", None]},
        "pair": {"type": "array", "prefixItems": [{"type": "number", "maximum": 1}, {"const": 2}], "minItems": 2,
                 "maxItems": 2},
        "inner": {"type": "object", "additionalProperties": {"oneOf": [{"type": "null"}, {
            "type": "object", "properties": {"real": {"$ref": "#/$defs/count"}, "fake": {"type": ["integer", "null"]}},
            "required": ["real"], "additionalProperties": False}]}},
    },
    "additionalProperties": {"type": ["number", "null"]},
}  # fmt: skip


def floats(value) -> list[float]:
    if isinstance(value, (dict, list)):
        return [x for item in (value.values() if isinstance(value, dict) else value) for x in floats(item)]
    return [value] if isinstance(value, float) else []


def compared(value, schema) -> None:
    definitions = schemas.definitions()
    said = fault(value, schema, definitions)
    valid = jsonschema.Draft202012Validator(document("t", schema, definitions)).is_valid(value)
    if not valid:
        assert said
    elif said:  # of a number that is not JSON's, or of 1e308 for a whole number
        assert any(not math.isfinite(x) or x.is_integer() for x in floats(value)), said


@settings(max_examples=150, deadline=None)
@given(texts.changed(ANSWER))
def test_an_answer_is_judged_as_jsonschema_judges_it(value):
    compared(value, schemas.predict())


@settings(max_examples=250, deadline=None)
@given(texts.changed(LINE))
def test_every_keyword_is_read_as_jsonschema_reads_it(value):
    compared(value, SCHEMA)


def test_what_is_right_has_no_fault_and_what_is_wrong_has_a_place():
    assert fault(ANSWER, schemas.predict(), schemas.definitions()) == ""
    assert fault(LINE, SCHEMA, schemas.definitions()) == ""
    wrong = LINE | {"inner": {"a": {"real": -1}}}
    assert fault(wrong, SCHEMA, schemas.definitions()) == "inner/a/real: -1 is out of its range"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_has_not_are_faults(value):
    assert "no number of JSON" in fault({"kind": "x", "n": 1, "more": value}, SCHEMA, schemas.definitions())
