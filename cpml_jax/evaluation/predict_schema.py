"""JSON Schema of a line that `main.py predict` prints."""

from __future__ import annotations

from cpml_jax.doubt.knowledge import OVER, SOURCES
from cpml_jax.evaluation.heart_rate import KEYS
from cpml_jax.evaluation.verdict import LABELS, UNDETERMINED
from cpml_jax.json_schema import COUNT, NAMES, NUMBER, OPTIONAL_NUMBER, SHARE, STRING, Schema, array, closed

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_FROM = {"enum": ["validation", "default"]}


def predict() -> Schema:
    """A score, or an error."""
    rates = {key: OPTIONAL_NUMBER for key in KEYS}
    pulse = rates | {
        "heart_rate_bpm": OPTIONAL_NUMBER
        | {"description": "of the model's wave; null where the classical trace has no pulse beyond sensor noise"}
    }
    score = {
        "margin": NUMBER | {"description": "logit of fake minus logit of real"},
        "score": _PROBABILITY | {"description": "calibrated P(fake), within the bounds that validation supports"},
    }
    label = {
        "label": {"enum": [*LABELS, UNDETERMINED]},
        "leaning": {"enum": list(LABELS), "description": "the label without doubt: the margin against the threshold"},
    }
    window = closed({"start_s": NUMBER, **score, "face": COUNT} | {key: rates[key] for key in KEYS[:2]})
    face = closed(
        {"face": COUNT, **score, **label, "p_known": SHARE, **rates, "windows": COUNT, "track_quality": OPTIONAL_NUMBER}
    )
    doubt = closed(
        {
            "p": _PROBABILITY | {"description": "conformal p-value: undetermined at the level and below"},
            "level": NUMBER,
            "score": NUMBER | {"description": "distance from the training clips"},
            "reasons": NAMES | {"description": "why it is undetermined, in words; empty where it is not"},
            "p_over": {"enum": list(OVER)},
            "count": COUNT | {"description": "of them, that p counts"},
            "sources": {"enum": list(SOURCES)},
        }
    )
    in_file: dict[str, Schema] = {  # of predict --out alone
        "file": {"oneOf": [{"type": "null"}, closed({"bytes": COUNT, "mtime_ns": {"type": "integer"}})]}
        | {"description": "with --out: the video's size and time when it was read; null: to be asked again"},
        "model": STRING | {"description": "with --out: of the parameters"},
        "settings": STRING | {"description": "with --out: of all else that answers in one file must share"},
    }
    answer = closed(
        {
            "video": STRING,
            **score,
            "margin": NUMBER | {"description": "the highest of the faces' margins, each the mean of its windows'"},
            **label,
            "doubt": {"oneOf": [{"type": "null"}, doubt]}
            | {"description": "how far the deciding face is from what the run was trained and validated on"},
            "doubt_note": STRING | {"description": "why doubt is null, or how it is to be read"},
            "threshold": closed({"value": _PROBABILITY, "margin": NUMBER, "from": _FROM}),
            "calibration": closed(
                {"temperature": NUMBER, "bounds": array(_PROBABILITY, minItems=2, maxItems=2), "from": _FROM}
            ),
            **pulse,
            "windows": array(window, minItems=1),
            "faces": array(face, minItems=1),
            **in_file,
        },
        ["doubt_note", *in_file],
    )
    return {"oneOf": [closed({"video": STRING, "error": STRING, **in_file}, list(in_file)), answer]}
