"""Versions of evaluation.json and sweep.json, and older ones brought to today's names (CHANGELOG.md lists the changes).

Earlier files stay as they are on the disk; whoever reads one, reads it through `current`.
"""

from __future__ import annotations

from typing import Any

from flax import traverse_util

from cpml_jax.configuration import current_names
from cpml_jax.evaluation.video_score import OLD_RULE

EVALUATION, SWEEP = "cpml-evaluation/3.1.0", "cpml-sweep/2.0.0"
_COMPLETE = {"cpml-sweep/1.0.0": SWEEP}  # today's, but for the names
# They can be shown, and no result of them is kept: before 3.0.0 windows were averaged as probabilities, and a file did
# not name the parameters that it is of; 1.0.0 also lacks provenance, calibration and most figures.
_EARLIER = ("cpml-evaluation/2.0.0", "cpml-evaluation/1.1.0", "cpml-evaluation/1.0.0")
_WITHOUT_DOUBT = "cpml-evaluation/3.0.0"  # today's names; lacks bounds of P(fake), and doubt
READABLE = (EVALUATION, SWEEP, _WITHOUT_DOUBT, *_COMPLETE, *_EARLIER)
_RENAMED = {"train": {"qualities": "compressions"}, "test": {"quality": "compression"}}


def current(document: dict[str, Any]) -> dict[str, Any]:
    """An evaluation.json or sweep.json of any version in today's names; a document of this version as it is.

    `schema` becomes today's, unless the document lacks what today's version requires.
    """
    version = str(document.get("schema"))
    if version in (EVALUATION, SWEEP, _WITHOUT_DOUBT):
        return document
    lists = {key: [_renamed(entry) for entry in document[key]] for key in ("results", "cells") if key in document}
    config = {"config": current_config(document["config"])} if isinstance(document.get("config"), dict) else {}
    rule = {"rule": OLD_RULE} if "results" in document else {}
    return document | {"schema": _COMPLETE.get(version, version)} | lists | config | rule


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    """A result, or a cell of a sweep."""
    parts = {
        part: {names.get(key, key): value for key, value in entry[part].items()}
        for part, names in _RENAMED.items()
        if part in entry
    }
    return {key: value for key, value in entry.items() if key != "aggregation"} | parts


def current_config(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration, nested, with today's keys."""
    flat = traverse_util.flatten_dict(config, keep_empty_nodes=True, sep=".")
    return traverse_util.unflatten_dict(current_names(flat), sep=".")
