"""What is compared: rows of the table, each a configuration and how many clips. No JAX and no torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from cpml_jax.configs import ffpp, synthetic
from cpml_jax.data.batch import Batch, clip_layout, empty_batch
from cpml_jax.data.input_size import InputSize
from cpml_jax.models import prompt_bank, prompts
from cpml_jax.schema import NUM_LANDMARKS

OURS, EAGER, COMPILED, RELEASED = "ours", "eager", "compile", "released"
CONTESTANTS = (OURS, EAGER, COMPILED, RELEASED)
STEP, TRAIN, INFER = "step", "train", "infer"  # a whole step | PhysFormer's loss and gradients | its waves
_INPUTS = {"rppg": "frames", "landmarks": "landmarks", "visual": "stills"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      name: of it. text: what it is.
      work: STEP, TRAIN or INFER.
      config: makes its configuration; a function of a module, for it goes to other processes.
      clips: a step, on a CPU and on a GPU; None: the configuration's.
      contestants: who takes part, of CONTESTANTS.
    """

    name: str
    text: str
    work: str
    config: Callable[[], ConfigDict]
    clips: tuple[int | None, int | None]
    contestants: tuple[str, ...] = (OURS, EAGER, COMPILED)


def _full() -> ConfigDict:
    return synthetic.get_config("full")


def _paper() -> ConfigDict:
    return ffpp.paper("raw")


ROWS = (
    Row("default", "step of configs/synthetic.py", STEP, synthetic.get_config, (None, None)),
    Row("full", "step of configs/synthetic.py:full", STEP, _full, (2, 32)),
    Row("physformer", "PhysFormer, loss and gradients", TRAIN, _paper, (1, 8)),
    Row("inference", "PhysFormer, waves", INFER, _paper, (1, 8)),
    Row("paper", "step of the paper's recipe", STEP, _paper, (2, 16), CONTESTANTS),
)


def configuration(row: Row, device: str, clips: int = 0) -> ConfigDict:
    """Of a row on cpu or gpu: clips a step, one device, float32 or bfloat16; clips 0: the row's."""
    config, given = row.config(), clips or row.clips[device == "gpu"]
    if given is not None:
        config.train.batch_size = given
    config.train.devices = 1
    config.train.precision = "bfloat16" if device == "gpu" else "float32"
    return config


def views_of(config: ConfigDict) -> tuple[int, tuple[str, ...]]:
    """Views of a clip in the batch, and the names of those that the model makes."""
    if config.train.views == "recorded":
        return len(config.train.compressions), ()
    return 1, tuple(config.train.downsampled)


def batch(config: ConfigDict, seed: int = 0) -> Batch:
    """A training batch (schema.BATCH) of drawn numbers: half real, half fake, each fake of the real clip before it."""
    rng, clips = np.random.default_rng(seed), config.train.batch_size
    size = InputSize(
        num_frames=config.data.num_frames,
        frame_size=config.model.rppg.frame_size,
        num_stills=config.model.visual.frames,
        batch_size=clips,
        inputs=tuple(_INPUTS[name] for name in config.model.modalities),
    )
    made = empty_batch(clip_layout(size), clips, views_of(config)[0])
    for name in {"frames", "stills"} & made.keys():
        made[name] = rng.integers(0, 256, made[name].shape, np.uint8)
    shape = made["landmarks"].shape
    still = rng.uniform(-0.8, 0.8, (*shape[:2], 1, NUM_LANDMARKS, 2))
    made["landmarks"] = (still + 0.005 * rng.standard_normal(shape)).astype(np.float32)
    made["valid"] = rng.uniform(size=made["valid"].shape) < 0.95
    made["pulse"] = rng.standard_normal(made["pulse"].shape).astype(np.float32)
    made["label"] = (np.arange(clips) % 2).astype(np.int32)
    kinds = max(len(prompts_of(config)) - 1, 1)
    made["class_index"] = np.where(made["label"], 1 + np.arange(clips) // 2 % kinds, 0).astype(np.int32)
    made["pair"] = (np.arange(clips) // 2).astype(np.int32)
    return made


def prompts_of(config: ConfigDict) -> Sequence[Sequence[str]]:
    """Every class's prompts, real first."""
    names = prompt_bank.class_names(config.model.text_encoder.classes, config.train.methods)
    return tuple(prompt_bank.make(names).values())


def tokens(config: ConfigDict) -> tuple[np.ndarray | None, int]:
    """The prompts' tokens (C, P, L) int32 and the tokenizer's size; None and 0 where no text encoder reads them."""
    if config.model.head != "prompts":
        return None, 0
    tokenizer = prompts.build_tokenizer((*prompts_of(config), ("",)))
    found = prompts.tokenize(tokenizer, prompts_of(config), config.model.text_encoder.context_length)
    return found, len(tokenizer)
