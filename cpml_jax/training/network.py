"""What a model is built from besides its configuration: shapes of trained parts, and the prompts as tokens.

A configuration may leave both to a CLIP folder. A run keeps them beside its checkpoints, so that it goes on, and
scores, wherever that folder is moved.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cpml_jax.errors import UserError
from cpml_jax.models import prompt_bank, prompts
from cpml_jax.pretrained import apply, huggingface
from cpml_jax.training import run_files


@dataclasses.dataclass(frozen=True)
class Network:
    """What scoring.build_model takes beside a configuration.

    Attributes:
      shapes: part of the model -> the settings that its trained weights demand, in place of the configuration's.
      vocabulary: size of the prompts' tokenizer; 0 without prompts.
      tokens: (C, P, L) int32; stand-ins with prototypes, None with the linear head, which have no prompts.
      context_words: tokens of the words that learned context starts from.
    """

    shapes: Mapping[str, Mapping[str, Any]]
    vocabulary: int
    tokens: np.ndarray | None
    context_words: tuple[int, ...] = ()


def of_run(config: ConfigDict, workdir: str | os.PathLike | None = None) -> Network:
    """The network that a run keeps, if it keeps one; else that of the configuration and the files that it names."""
    kept = None if workdir is None else run_files.read_network(workdir)
    return of(config) if kept is None else from_plain(kept)


def from_plain(kept: Mapping[str, Any]) -> Network:
    """What `plain` gave, read back from JSON."""
    tokens = kept["tokens"]
    tokens = None if tokens is None else np.asarray(tokens, np.int32)
    return Network(kept["shapes"], kept["vocabulary"], tokens, tuple(kept["context_words"]))


def plain(network: Network) -> dict[str, Any]:
    """A network in JSON's types."""
    tokens = None if network.tokens is None else network.tokens.tolist()
    return dataclasses.asdict(dataclasses.replace(network, tokens=None)) | {"tokens": tokens}


def keep(workdir: str | os.PathLike, network: Network) -> None:
    """Write a network beside the checkpoints."""
    run_files.write_network(workdir, plain(network))


def of(config: ConfigDict) -> Network:
    """The network of a valid configuration. Reads a CLIP folder, if one is named, and the bank of prompts.

    Raises:
      UserError: one of them cannot be used, or the prompts do not fit.
    """
    settings = config.model.to_dict()
    shapes = apply.shapes(settings)
    given = apply.configured(settings, shapes)
    bank = tuple(read_bank(config).values())
    if settings["head"] == "prompts":
        vocabulary, tokens, words = read_prompts(given["text_encoder"], bank)
        return Network(shapes, vocabulary, tokens, words)
    return Network(shapes, 0, prompts.stand_ins(len(bank)) if settings["head"] == "prototypes" else None)


def read_bank(config: ConfigDict, workdir: str | os.PathLike | None = None) -> dict[str, tuple[str, ...]]:
    """{class: its prompts} of a configuration, real first.

    Args:
      workdir: of a run, whose prompts are taken where the configuration's bank is no longer there.
    """
    text = config.model.text_encoder
    names = prompt_bank.class_names(text.classes, config.train.methods)
    if workdir is not None and text.bank and not Path(text.bank).exists():
        kept = run_files.read_prompts(workdir)
        if kept is not None:
            return {name: tuple(kept[name]) for name in names if name in kept}
    return prompt_bank.make(names, text.bank)


def read_prompts(text: Mapping[str, Any], bank: Sequence[Sequence[str]]) -> tuple[int, np.ndarray, tuple[int, ...]]:
    """The tokenizer's size, the prompts' tokens (C, P, L) int32, and tokens of the words that context starts from.

    Args:
      text: `config.model.text_encoder`, as its weights demand it.
      bank: each class's prompts.

    Raises:
      UserError: the tokenizer's size is not text["vocab_size"], or a prompt does not fit.
    """
    if text["weights"]:
        tokenizer = prompts.load_tokenizer(huggingface.locate(text["weights"]))
    else:
        tokenizer = prompts.build_tokenizer((*bank, (text["context_init"],)))
    if text.get("vocab_size", len(tokenizer)) != len(tokenizer):
        raise UserError(
            f"model.text_encoder.weights={text['weights']!r}: its tokenizer has {len(tokenizer)} tokens, "
            f"config.json says {text['vocab_size']}"
        )
    room = text["context_tokens"] if text["mode"] == "context" else 0
    tokens = prompts.tokenize(tokenizer, bank, text["context_length"], room=room)
    return len(tokenizer), tokens, prompts.context_words(tokenizer, text["context_init"])
