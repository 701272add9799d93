"""What can be refused of a configuration before any work: no video, no record and no checkpoint is opened here.

`validate` is called by every verb. Each refusal is one line that begins with a key. What depends on data or devices
(a method that the records lack, a batch that the devices do not divide) is checked where those are read.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from cpml_jax import conditions
from cpml_jax.configs import base
from cpml_jax.configuration import changed
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.schema import SPLITS, compression_rank
from cpml_jax.validation_rules import NEEDED, RULES, is_of_type, refuse_unless

Flat = Mapping[str, Any]

_SOURCES = "data.sources."
_SOURCE_KEYS = frozenset(base.source("", "").keys())
_DRAW_KEYS = frozenset(("style", "identities", "frames", "size", "compressions", "methods", "seed"))
_TRAINING = (None, "train")  # verbs that train
_EVALUATING = (None, "evaluate")


def validate(
    config: ConfigDict,
    verb: str | None = None,
    protocol_names: Sequence[str] = (),
    workdir: str | os.PathLike | None = None,
) -> None:
    """Refuse a configuration that no data could make work.

    Args:
      config: of configs/base.py's keys.
      verb: what is to be done with it; None: everything, from preparation to the report.
      protocol_names: to evaluate in place of eval.protocols.
      workdir: of a run. Once it has begun, trained weights to start from need not be there (network.py).

    Raises:
      UserError: an unknown key, a value of another type or out of its range, or values that do not fit together; the
        first of them.
    """
    plain = config.to_dict()
    flat = flattened(plain)
    check_keys(flat)
    for key, rule in RULES.items():
        refuse_unless(rule, key, flat[key])
    names = tuple(dict.fromkeys(protocol_names or flat["eval.protocols"]))
    check_sources(plain["data"]["sources"])
    check_training_data(flat, plain["data"]["sources"], verb)
    check_views(flat)
    check_tests(flat, plain["data"]["sources"], names, verb)
    check_optimizer(flat)
    check_heads(flat)
    check_visual(flat)
    check_text(flat)
    if verb != "prepare" or not any(flat[f"model.{name}.weights"] for name in ("rppg", "text_encoder", "visual")):
        check_model(config, workdir)  # weights need not lie on the machine that prepares


def flattened(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries as {dotted key: value}."""
    return traverse_util.flatten_dict(plain, sep=".")


def check_keys(flat: Flat) -> None:
    """Refuse keys that configs/base.py has not, lacks of those that it has, and values of another type."""
    defaults = flattened(base.get_config().to_dict())
    for key in flat:
        if key in defaults or key.startswith(_SOURCES):
            continue
        if why := changed(key):
            raise UserError(why)
        near = difflib.get_close_matches(key, defaults, n=1)
        raise UserError(f"the configuration has no key {key!r}{f', did you mean {near[0]!r}?' if near else ''}")
    for key, default in defaults.items():
        if key not in flat:
            raise UserError(f"the configuration lacks {key!r}; start from base.get_config() of configs/base.py")
        if not is_of_type(flat[key], default):
            raise UserError(f"{key}={flat[key]!r}; it is of type {type(default).__name__}, as {default!r}")


def check_sources(sources: Mapping[str, Any]) -> None:
    """Refuse data sets that no module reads, or with keys that mean nothing."""
    from data_prep.sources import kinds

    for name, source in sources.items():
        where = f"data.sources.{name}"
        if not re.fullmatch(r"[\w.+-]+", name) or protocols.holds_conditions(name):
            raise UserError(f"{where}: {name!r} names a folder of records; use letters, digits and _ + - alone")
        wrong = sorted(source.keys() - _SOURCE_KEYS - {"draw"}) + sorted(source.get("draw", {}).keys() - _DRAW_KEYS)
        lacking = sorted(_SOURCE_KEYS - source.keys())
        if wrong or lacking:
            problem = f"unknown key {wrong[0]!r}" if wrong else f"{lacking[0]!r} is missing"
            raise UserError(f"{where}: {problem}; make it with base.source() of configs/base.py")
        if source["kind"] not in kinds():
            raise UserError(f"{where}.kind={source['kind']!r}; it is one of {', '.join(kinds())}")
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


def check_views(flat: Flat) -> None:
    """Refuse recorded views that are not best first, and down-sampled ones that the frames cannot give."""
    from cpml_jax.models.resolution import STEPS

    compressions = tuple(flat["train.compressions"])
    ordered = tuple(sorted(compressions, key=compression_rank))
    if flat["train.views"] == "recorded" and compressions != ordered:
        raise UserError(f"train.compressions={compressions} begins with the best: {ordered}")
    if flat["train.views"] != "downsampled":
        if flat["loss.pairing"] == "downsampled":
            raise UserError(
                f"loss.pairing='downsampled' compares made views, and train.views={flat['train.views']!r} has none; "
                "set train.views='downsampled' or loss.pairing='full'"
            )
        return
    if flat["loss.pairing"] == "downsampled" and len(flat["train.downsampled"]) < 2:
        raise UserError(
            f"loss.pairing='downsampled' compares two made views, train.downsampled={tuple(flat['train.downsampled'])} "
            "makes one; name half and quarter"
        )
    cell = 2 ** max(STEPS[name] for name in flat["train.downsampled"])
    if flat["model.rppg.frame_size"] % cell:
        raise UserError(
            f"model.rppg.frame_size={flat['model.rppg.frame_size']} must be a multiple of {cell} for "
            f"train.downsampled={tuple(flat['train.downsampled'])}"
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


def check_optimizer(flat: Flat) -> None:
    """Refuse a warm-up that never ends, and parameter groups that are no groups."""
    updates = -(-flat["train.steps"] // flat["optim.accumulate"])
    if flat["optim.warmup_steps"] >= max(updates, 1):
        raise UserError(
            f"optim.warmup_steps={flat['optim.warmup_steps']} must be below the number of updates, {updates} "
            "(train.steps over optim.accumulate)"
        )
    for group in flat["optim.groups"]:
        form = "a group is (regular expression, learning-rate factor of 0 or more)"
        if not (isinstance(group, (tuple, list)) and len(group) == 2 and isinstance(group[0], str)):
            raise UserError(f"optim.groups has {group!r}; {form}")
        pattern, factor = group
        if not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
            raise UserError(f"optim.groups has {group!r}; {form}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"optim.groups: {pattern!r} is no regular expression ({error})") from None


def check_weights(config: ConfigDict, rootless: Sequence[str] = ()) -> None:
    """Refuse a new training run whose recipe lacks what it needs, or that names weights which are not there.

    open-rppg's are a package's, and a CLIP of the hub is read by check_model.

    Args:
      rootless: options of data sets that are to be prepared and have no root.

    Raises:
      UserError: all that is lacking, in one line.
    """
    flat = flattened(config.to_dict())
    weights = ("model.rppg.weights", "model.landmarks.weights")
    # A whole model holds the parts' weights; of CLIP's folder it needs the tokenizer still.
    needed = [key for key in config.needs if not flat[key] and not (flat["init_from"] and key in weights)]
    lacking = [f"{key}={NEEDED[key]}" for key in needed] + [f"{key}=FOLDER" for key in rootless]
    gone = [
        f"{option}={flat[option]}: no such file or folder"
        for option in ("init_from", *weights)
        if flat[option] and not flat[option].startswith("open-rppg:") and not Path(flat[option]).expanduser().exists()
    ]
    if lacking and config.needs:
        gone.insert(0, f"{config.name} needs, and has not: " + ", ".join(f"--config.{words}" for words in lacking))
    if gone:
        raise UserError("; ".join(gone))


# Losses that compare with the class prompts, and those on augmented images.
_WITH_PROMPTS = ("cmcl", "prompt_mse", "affinity")
_ON_IMAGES = ("simclr", "prompt_mse")


def check_heads(flat: Flat) -> None:
    """Refuse heads, losses and streams that do not fit together."""
    head, modalities = flat["model.head"], tuple(flat["model.modalities"])
    for name in _WITH_PROMPTS:
        if head == "linear" and flat[f"loss.{name}"]:
            raise UserError(
                f"loss.{name}={flat[f'loss.{name}']} compares with the class prompts, which model.head='linear' has "
                f"none of; set loss.{name}=0.0 or model.head='prompts'"
            )
    if head == "prototypes":
        no_text(flat)
    for name in _ON_IMAGES:
        if flat[f"loss.{name}"] and "visual" not in modalities:
            raise UserError(
                f"loss.{name}={flat[f'loss.{name}']} needs the visual stream; model.modalities is {modalities}: "
                f"add 'visual' or set loss.{name}=0.0"
            )
    alone = modalities == ("visual",) and flat["model.visual.encoder"] and not flat["model.visual.contrast"]
    if head != "linear" and flat["model.fusion_projection"] == "none" and not alone:
        raise UserError(
            f"model.fusion_projection='none' with model.modalities={modalities}: only the visual stream alone, without "
            "contrast, is as wide as the class prompts; set it to 'linear', or model.head='linear'"
        )
    if flat["model.fusion_wiring"] == "released" and (
        not {"rppg", "landmarks"} <= set(modalities) or flat["model.fusion_landmarks"] != "crossed"
    ):
        raise UserError(
            f"model.fusion_wiring='released' crosses pulse and landmarks; with model.modalities={modalities} and "
            f"model.fusion_landmarks={flat['model.fusion_landmarks']!r} set it to 'specified'"
        )


def check_visual(flat: Flat) -> None:
    """Refuse a visual stream of nothing, what only its image encoder could use, and more stills than a clip has."""
    if "visual" not in flat["model.modalities"]:
        return
    if not flat["model.visual.encoder"]:
        if not flat["model.visual.contrast"]:
            raise UserError(
                "model.visual.encoder=False with model.visual.contrast=0 leaves the visual stream nothing; set one of "
                "them, or take 'visual' out of model.modalities"
            )
        for key in (*(f"loss.{name}" for name in _ON_IMAGES), "model.visual.weights"):
            if flat[key]:
                raise UserError(f"{key}={flat[key]!r} needs the image encoder; set model.visual.encoder=True")
    if flat["model.visual.frames"] > flat["data.num_frames"]:
        raise UserError(
            f"model.visual.frames={flat['model.visual.frames']} is more than a clip has, data.num_frames="
            f"{flat['data.num_frames']}"
        )


def no_text(flat: Flat) -> None:
    """Refuse what only a text encoder could use."""
    unused = {"model.text_encoder.weights": "", "model.text_encoder.mode": "finetune", "loss.prompt_mse": 0.0}
    for key, value in unused.items():
        if flat[key] != value:
            raise UserError(
                f"{key}={flat[key]!r} needs a text encoder, which model.head='prototypes' has none of; set it to "
                f"{value!r} or model.head='prompts'"
            )


def check_text(flat: Flat) -> None:
    """Refuse settings of learned context without learned context."""
    section = "model.text_encoder"
    if flat[f"{section}.mode"] == "context":
        return
    for key in ("context_per_class", "context_init"):
        if flat[f"{section}.{key}"]:
            raise UserError(f"{section}.{key} goes with mode='context', not {flat[f'{section}.mode']!r}")


def check_model(config: ConfigDict, workdir: str | os.PathLike | None = None) -> None:
    """Refuse what only building the model shows: shapes, prompts that do not fit, weights' own settings.

    No parameter is made. Reads the bank of prompts and the tokenizer, and config.json of a CLIP folder, if any is set;
    or what the run of that workdir keeps of them.
    """
    from cpml_jax.evaluation import scoring
    from cpml_jax.models.streams import STREAMS
    from cpml_jax.pretrained import apply
    from cpml_jax.training import network as networks
    from cpml_jax.training import run_files

    if workdir is not None:
        run_files.check_config(workdir, config.to_dict(), resume=False)  # what the run keeps is of its own model
    network = networks.of_run(config, workdir)
    given = apply.configured(config.model.to_dict(), network.shapes)
    for name, stream in STREAMS.items():
        stream.check({key: value for key, value in given[name].items() if key != "weights"})
    width, heads = given["text_encoder"]["width"], given["text_encoder"]["heads"]
    if width % heads:
        raise UserError(f"model.text_encoder.width={width} must be a multiple of model.text_encoder.heads={heads}")
    bank = networks.read_bank(config, workdir)
    if config.loss.prompt_mse and min(map(len, bank.values())) < 2:
        raise UserError(
            f"loss.prompt_mse={config.loss.prompt_mse} splits each class's prompts in two: give it two or more"
        )
    model, _ = scoring.build_model(config, network)
    text = config.model.text_encoder
    if text.mode == "context" and text.context_init and len(model.context_words) != text.context_tokens:
        count = len(model.context_words)
        raise UserError(
            f"model.text_encoder.context_init={text.context_init!r} has {count} tokens; "
            f"set model.text_encoder.context_tokens={count} (it is {text.context_tokens})"
        )
