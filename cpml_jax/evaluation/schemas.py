"""The JSON Schemas of docs/schemas, and the table of metrics in docs/evaluation.md.

`python -m cpml_jax.evaluation.schemas` writes them in a checkout. They follow from the code: the figures from
metrics/summary.py, names from where they are defined. The versions of files are in versions.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cpml_jax import conditions, schema
from cpml_jax.doubt import figures as doubt
from cpml_jax.evaluation import diagnostics, protocols, versions, video_score
from cpml_jax.evaluation.clip_scores import ROW_KEYS
from cpml_jax.evaluation.predict_schema import predict
from cpml_jax.json_schema import (
    BASIC,
    COUNT,
    INTEGER,
    NAMES,
    NUMBER,
    OBJECT,
    OPTIONAL_NUMBER,
    OPTIONAL_STRING,
    STRING,
    Schema,
    array,
    closed,
    document,
    mapping,
    ref,
)
from cpml_jax.metrics import summary

DOCS = Path(__file__).parents[2] / "docs"
METRICS_BEGIN, METRICS_END = "<!-- metrics: begin, written by cpml_jax.evaluation.schemas -->", "<!-- metrics: end -->"
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}


def definitions() -> dict[str, Schema]:
    """The parts that schemas share, by name."""
    return BASIC | {
        "figures": summary.definition(),
        "train": closed({"dataset": STRING, "compressions": NAMES, "methods": NAMES}),
        "test": closed({"dataset": STRING, "compression": STRING, "methods": NAMES}),
        "condition": _condition(),
        "moments": closed({"mean": OPTIONAL_NUMBER, "std": OPTIONAL_NUMBER, "n": COUNT}),
        "rate_errors": closed(
            {"mae_bpm": OPTIONAL_NUMBER, "rmse_bpm": OPTIONAL_NUMBER, "pearson": OPTIONAL_NUMBER, "n": COUNT}
        ),
        "pulse": _pulse(),
        "result": _result(),
        "threshold": closed(
            {name: OPTIONAL_NUMBER for name in ("clip", "video", "clip_margin", "video_margin")}
            | {"rule": STRING, "note": STRING},
            ["note"],
        ),
        "seen": _seen(),
        "listed": _listed(),
        "records": closed({"sha256": OPTIONAL_STRING, "schema_version": OPTIONAL_STRING, "clips": COUNT}),
    }


def _condition() -> Schema:
    strength = {"type": "integer", "minimum": min(conditions.STRENGTHS), "maximum": max(conditions.STRENGTHS)}
    kinds = (
        closed({"kind": {"const": "original"}, "bitrate_bps": OPTIONAL_NUMBER}),
        closed(
            {
                "kind": {"const": "codec"},
                "codec": {"enum": list(conditions.CODECS)},
                "crf": INTEGER,
                "bitrate_bps": OPTIONAL_NUMBER,
            }
        ),
        closed({"kind": {"const": "corruption"}, "corruption": {"enum": list(conditions.CORRUPTIONS)},
                "strength": strength}),
    )  # fmt: skip
    return {"description": "what was done to the test videos", "oneOf": [{"type": "null"}, *kinds]}


def _pulse() -> Schema:
    numbers = ("real", "fake", "real_truth", "fake_truth", "snr_db_real", "snr_db_fake")
    errors = {name: ref("rate_errors") for name in ("heart_rate_pos", "heart_rate_truth")}
    return closed({name: OPTIONAL_NUMBER for name in numbers} | errors)


def _seen() -> Schema:
    spread = {"oneOf": [{"type": "null"}, closed({"mean": NUMBER, "min": COUNT, "max": COUNT})]}
    return closed({"windows_per_video": spread, "frames_per_video": spread, "face_choice": mapping(COUNT)})


def _listed() -> Schema:
    each = closed({"real": COUNT, "fake": COUNT})
    official = {"type": ["integer", "null"], "description": "size of the published test list, of these methods"}
    return closed({"tested": each, "excluded": each, "listed": COUNT, "official": official})


def _result() -> Schema:
    return closed(
        {
            "protocol": {"enum": list(protocols.PROTOCOLS)},
            "train": ref("train"),
            "test": ref("test"),
            "condition": ref("condition"),
            "sampler": OBJECT | {"description": "which frames of a video were seen"},
            "seen": ref("seen"),
            "listed": ref("listed"),
            "threshold": ref("threshold"),
            "clip": ref("figures"),
            "video": ref("figures"),
            "doubt": doubt.definition(),
            "pulse": ref("pulse"),
            "note": STRING,
        },
        optional=("doubt", "pulse", "note"),
    )


def evaluation() -> Schema:
    """Of evaluation.json."""
    selection = {"type": "string", "pattern": "^(validation|latest|oracle: .+)$"}
    across = closed(
        {
            "dataset": STRING,
            "compressions": array(STRING, minItems=2, maxItems=2),
            "real": ref("moments"),
            "fake": ref("moments"),
        }
    )
    return closed(
        {
            "schema": {"const": versions.EVALUATION},
            "config": OBJECT,
            "checkpoint": closed(
                {"step": COUNT, "selection": selection, "parameters_sha256": STRING, "config_sha256": STRING}
            ),
            "rule": closed({name: STRING for name in video_score.RULE}),
            "provenance": closed(
                {"records": mapping(ref("records")), "commit": OPTIONAL_STRING, "versions": mapping(OPTIONAL_STRING)}
            ),
            "calibration": closed(
                {
                    "temperature": OPTIONAL_NUMBER,
                    "bounds": array(_PROBABILITY, minItems=2, maxItems=2)
                    | {"description": "the least and the greatest P(fake) that is given"},
                    "people": closed({"real": COUNT, "fake": COUNT})
                    | {"description": "that validation shows, for the bounds; absent where a model brought those"},
                    "note": STRING,
                },
                ["people", "note"],
            ),
            "doubt": doubt.summary_definition(),
            "results": array(ref("result")),
            "pulse_across_compressions": array(across)
            | {"description": "how alike a clip's wave stays between two compressions (Pearson)"},
            "excluded": array(OBJECT | {"required": ["reason"]}),
            "diagnostics": diagnostics.definition(),
        },
        optional=("diagnostics", "doubt"),
    )


def sweep() -> Schema:
    """Of sweep.json."""
    run = closed(
        {
            "name": STRING,
            "seed": INTEGER,
            "changes": OBJECT,
            "state": {"enum": ["finished", "trained", "begun", "missing"]},
            "note": STRING,
        },
        ["note"],
    )
    figures = {"oneOf": [{"type": "null"}, ref("figures")]}
    cell = closed(
        {name: STRING for name in ("protocol", "table", "row", "column")}
        | {"seed": INTEGER, "run": STRING, "train": ref("train"), "test": ref("test")}
        | {"clip": figures, "video": figures, "note": STRING},
        ["note"],
    )
    explained = "one for each training run, test and seed; clip and video are null, with a note, without a figure"
    return closed(
        {
            "schema": {"const": versions.SWEEP},
            "config": OBJECT,
            "runs": array(run),
            "cells": array(cell) | {"description": explained},
        }
    )


def scores() -> Schema:
    """Of a line of scores.jsonl."""
    kinds = {
        "window": COUNT,
        "split": {"enum": list(schema.SPLITS)},
        "label": {"enum": [schema.REAL, schema.FAKE], "description": "0 real, 1 fake"},
    }
    pulse = ("heart_rate_bpm", "pulse_correlation_pos", "pulse_correlation_truth", "pulse_snr_db",
             "heart_rate_pos_bpm", "heart_rate_truth_bpm")  # fmt: skip
    optional = {
        "logit_margin": NUMBER | {"description": "logit of fake minus logit of real"},
        "p_known": _PROBABILITY | {"description": "conformal p-value of the clip's video (doubt)"},
        "valid": _PROBABILITY | {"description": "share of the clip's frames that could be measured"},
        **{name: OPTIONAL_NUMBER for name in pulse},
        "condition": STRING | {"description": "the condition, of re-encoded and corrupted clips"},
    }
    return closed({key: kinds.get(key, STRING) for key in ROW_KEYS} | {"p_fake": _PROBABILITY} | optional, optional)


def prepare() -> Schema:
    """Of prepare.json."""
    triple = {"type": "array", "prefixItems": [NUMBER, NUMBER, COUNT], "minItems": 3, "maxItems": 3}
    return closed(
        {
            "schema": STRING | {"description": "version of the record"},
            "dataset": STRING,
            "parameters": OBJECT,
            "made_with": mapping(OPTIONAL_STRING)
            | {"description": "versions of this package and of what it measures with"},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "clips": mapping(COUNT) | {"required": ["total"]},
            "pulse_correlation": mapping(triple),
            "excluded": mapping(COUNT),
        }
    )


FILES = {
    "evaluation": ("evaluation.json of CPML-JAX", evaluation),
    "sweep": ("sweep.json of CPML-JAX", sweep),
    "scores": ("A line of scores.jsonl of CPML-JAX", scores),
    "predict": ("A line that main.py predict prints", predict),
    "prepare": ("prepare.json of CPML-JAX: the summary of a record set", prepare),
}


def texts() -> dict[str, str]:
    """Name of a file in docs/schemas -> its text."""
    shared = definitions()
    return {
        f"{name}.schema.json": json.dumps(document(title, body(), shared), indent=1) + "\n"
        for name, (title, body) in FILES.items()
    }


def metrics_table() -> str:
    """The metrics as a Markdown table, one line each."""
    lines = [f"| `{metric.name}` | {metric.explanation} | {metric.better} |" for metric in summary.METRICS]
    return "\n".join(["| key | | better |", "| --- | --- | --- |", *lines])


def with_metrics(page: str) -> str:
    """docs/evaluation.md with today's table of metrics between its two marks."""
    before, _, rest = page.partition(METRICS_BEGIN)
    _, _, after = rest.partition(METRICS_END)
    return f"{before}{METRICS_BEGIN}\n\n{metrics_table()}\n\n{METRICS_END}{after}"


def write(docs: Path = DOCS) -> None:
    """Write every schema, and the table of metrics."""
    folder = docs / "schemas"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text)
    page = docs / "evaluation.md"
    page.write_text(with_metrics(page.read_text()))


if __name__ == "__main__":
    write()
    print(f"written: {DOCS / 'schemas'}", file=sys.stderr)
