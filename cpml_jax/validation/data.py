"""Data sets, what of them is trained on, and what is tested: what a configuration alone shows to be impossible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cpml_jax import conditions
from cpml_jax.configs import base
from cpml_jax.configuration import Flat
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.schema import SPLITS
from cpml_jax.validation.forging import check_forge, check_forging

_SOURCE_KEYS = frozenset(base.source("", "").keys())
_DRAW_KEYS = frozenset(("style", "identities", "frames", "size", "compressions", "methods", "seed"))
_TRAINING = (None, "train")  # verbs that train
_EVALUATING = (None, "evaluate")


def check_sources(sources: Mapping[str, Any]) -> None:
    """Refuse data sets that no module reads, with keys that mean nothing, or at addresses that are none."""
    from data_prep import hub
    from data_prep.sources import kinds

    for name, source in sources.items():
        where = f"data.sources.{name}"
        if not re.fullmatch(r"[\w.+-]+", name) or protocols.holds_conditions(name):
            raise UserError(f"{where}: {name!r} names a folder of records; use letters, digits and _ + - alone")
        wrong = sorted(source.keys() - _SOURCE_KEYS - {"draw", "forge"})
        wrong += sorted(source.get("draw", {}).keys() - _DRAW_KEYS)
        lacking = sorted(_SOURCE_KEYS - source.keys())
        if wrong or lacking:
            problem = f"unknown key {wrong[0]!r}" if wrong else f"{lacking[0]!r} is missing"
            raise UserError(f"{where}: {problem}; make it with base.source() of configs/base.py")
        if "forge" in source:
            check_forge(f"{where}.forge", source["forge"])
        if source["kind"] not in kinds():
            raise UserError(f"{where}.kind={source['kind']!r}; it is one of {', '.join(kinds())}")
        hub.check(f"{where}.root", source["root"])
        if "draw" in source and hub.is_address(source["root"]):
            raise UserError(f"{where}.root={source['root']!r}: what is drawn needs a folder on this machine")
        for split in source["splits"]:
            if split not in SPLITS:
                raise UserError(f"{where}.splits={source['splits']!r}; they are of {', '.join(SPLITS)}")


def check_training_data(flat: Flat, sources: Mapping[str, Any], verb: str | None) -> None:
    """Refuse training on what the data set's own entry leaves out of its preparation."""
    name = flat["train.dataset"]
    if name not in sources:
        raise UserError(f"train.dataset={name!r} is not in data.sources; it holds {', '.join(sources) or 'none'}")
    source, where = sources[name], f"data.sources.{name}"
    for key in ("compressions", "methods"):
        missing = [value for value in flat[f"train.{key}"] if source[key] and value not in source[key]]
        if missing:
            raise UserError(
                f"train.{key} has {missing[0]!r}, which {where}.{key}={tuple(source[key])} leaves out of preparation"
            )
    lost = [split for split in ("train", "val") if source["splits"] and split not in source["splits"]]
    if lost and verb in _TRAINING:
        raise UserError(
            f"{where}.splits={tuple(source['splits'])} has no {' and no '.join(lost)} split to train on; "
            "`main.py prepare` prepares it to test on"
        )
    if "draw" in source:
        check_drawing(flat, source["draw"], where)
    if "forge" in source:
        check_forging(flat, source["forge"], f"{where}.forge")


def check_drawing(flat: Flat, draw: Mapping[str, Any], where: str) -> None:
    """Refuse clips longer than the drawn videos, and training at compressions that are not drawn."""
    if draw["frames"] < flat["data.num_frames"]:
        raise UserError(
            f"data.num_frames={flat['data.num_frames']} is more than the videos have, {where}.draw.frames="
            f"{draw['frames']}"
        )
    for split in ("train", "val"):
        drawn = tuple(draw["compressions"].get(split, ()))
        missing = [c for c in flat["train.compressions"] if drawn and c not in drawn]
        if missing:
            raise UserError(
                f"train.compressions has {missing[0]!r}, which {where}.draw.compressions does not draw for the {split} "
                f"split; --config=configs/protocols.py:cross_compression:synthetic draws every compression"
            )


def check_tests(flat: Flat, sources: Mapping[str, Any], names: tuple[str, ...], verb: str | None) -> None:
    """Refuse protocols that do not exist or have nothing to test. A sweep checks its own names and rotates methods."""
    if verb != "sweep":
        protocols.check_names(names)
    for name in flat["eval.conditions"]:
        try:
            conditions.named(name)
        except UserError as error:
            raise UserError(f"eval.conditions: {error}") from None
    dataset = flat["train.dataset"]
    for name in flat["eval.cross_datasets"]:
        if name == dataset:
            raise UserError(f"eval.cross_datasets has {name!r}, which is the training data set; take it out")
        if name not in sources:
            raise UserError(f"eval.cross_datasets has {name!r}, which is not in data.sources: {', '.join(sources)}")
    if "cross_dataset" in names and not flat["eval.cross_datasets"]:
        raise UserError("eval.cross_datasets is empty; cross_dataset tests on the data sets that it names")
    prepared = sources[dataset]["compressions"]
    if "cross_compression" in names:
        if not flat["eval.compressions"]:
            raise UserError("eval.compressions is empty; cross_compression tests at the compressions that it names")
        missing = [c for c in flat["eval.compressions"] if prepared and c not in prepared]
        if missing:
            raise UserError(
                f"eval.compressions has {missing[0]!r}, which data.sources.{dataset}.compressions={tuple(prepared)} "
                "leaves out of preparation"
            )
    methods = set(sources[dataset]["methods"])
    if "cross_manipulation" in names and verb in _EVALUATING and methods and methods <= set(flat["train.methods"]):
        raise UserError(
            f"train.methods={tuple(flat['train.methods'])} leaves no method of {dataset!r} for cross_manipulation to "
            "test; take one out, or train all rotations with `main.py sweep`"
        )
