"""Files as earlier releases wrote them."""

import copy

_NAMES = {"train": {"compressions": "qualities"}, "test": {"compression": "quality"}}
_CONFIG = {
    ("train", "compressions"): "qualities",
    ("eval", "compressions"): "qualities",
    ("eval", "cross_compression"): "cross_quality",
    ("eval", "conditions"): "variants",
    ("model", "rppg"): "physformer",
    ("model", "visual"): "clip_image",
}
FIRST_FIGURES = ("n_real", "n_fake", "auc", "auc_ci95", "ap", "eer", "acc")


def config_of_0_1(config: dict) -> dict:
    """A plain configuration with the keys of release 0.1.0."""
    return {
        section: {_CONFIG.get((section, key), key): value for key, value in values.items()}
        if isinstance(values, dict)
        else values
        for section, values in config.items()
    }


def _old_names(entry: dict) -> dict:
    return entry | {
        part: {names.get(key, key): value for key, value in entry[part].items()} for part, names in _NAMES.items()
    }


def evaluation_3_0(document: dict) -> dict:
    """evaluation.json 3.0.0 of today's: no bounds of P(fake), no doubt."""
    document = copy.deepcopy(document) | {"schema": "cpml-evaluation/3.0.0"}
    document.pop("doubt", None)
    document["calibration"] = {k: v for k, v in document["calibration"].items() if k in ("temperature", "note")}
    for result in document["results"]:
        result.pop("doubt", None)
    return document


def evaluation_2_0(document: dict) -> dict:
    """evaluation.json 2.0.0 of today's, but for the figures."""
    document = copy.deepcopy(document) | {"schema": "cpml-evaluation/2.0.0"}
    document.pop("rule", None)
    document["checkpoint"] = {key: document["checkpoint"][key] for key in ("step", "selection")}
    for result in document["results"]:
        for part, names in (
            (result, ("seen", "listed")),
            (result.get("threshold", {}), ("clip_margin", "video_margin")),
        ):
            for name in names:
                part.pop(name, None)
        result["aggregation"] = "video: mean of the video's clip scores"
    return document


def evaluation_1_1(document: dict) -> dict:
    """evaluation.json 1.1.0 of today's, but for the figures."""
    document = evaluation_2_0(document)
    return document | {
        "schema": "cpml-evaluation/1.1.0",
        "config": config_of_0_1(document["config"]),
        "results": [_old_names(result) for result in document["results"]],
    }


def evaluation_1_0(document: dict) -> dict:
    """evaluation.json 1.0.0 of today's."""
    old = evaluation_1_1(document) | {"schema": "cpml-evaluation/1.0.0"}
    del old["provenance"], old["calibration"], old["pulse_across_compressions"], old["checkpoint"]["selection"]
    for result in old["results"]:
        del result["condition"]
        for of in ("clip", "video"):
            result[of] = {name: result[of][name] for name in FIRST_FIGURES}
    return old


def sweep_1_0(document: dict) -> dict:
    """sweep.json 1.0.0 of today's."""
    document = copy.deepcopy(document)
    return document | {
        "schema": "cpml-sweep/1.0.0",
        "config": config_of_0_1(document["config"]),
        "cells": [_old_names(cell) for cell in document["cells"]],
    }
