"""A trained model that one can hand on: a folder with all that scoring needs and nothing else.

    model.safetensors, config.json   the arrays and the whole configuration (pretrained/export.py)
    network.json                     the prompts as tokens, and shapes of trained parts (training/network.py)
    decision.json                    threshold, calibration, and the SHA-256 of the parameters that they are of
    doubt.npz                        what `undetermined` goes by; absent where the run was not evaluated
    README.md                        the model card (report/model_card.py)
    model.sha256                     checksums of the others (sums.py)

Reading it runs nothing of it: text and arrays alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cpml_jax import configuration, sums
from cpml_jax.configs import base
from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.evaluation.results_file import DOUBT
from cpml_jax.evaluation.scoring import Scorer
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import parse_json, write_whole
from cpml_jax.pretrained import export
from cpml_jax.training import network, run_files
from cpml_jax.training.sharding import make_mesh

DECISION, CARD, SUMS = verdicts.DECISION, "README.md", export.SUMS
SUMMED = (export.ARRAYS, export.CONFIG, run_files.NETWORK, DECISION, DOUBT)  # a card may be edited
FILES = (*SUMMED, CARD, SUMS)


def write(
    folder: Path, workdir: str | Path, config: ConfigDict, scorer: Scorer, variables: Mapping[str, Any], card: str
) -> None:
    """Write the model of a run.

    Args:
      folder: made if it does not exist.
      scorer: of the run (scoring.restore_for_scoring).
      variables: {"params": ..., "batch_stats": ...} of arrays on the host, the scorer's.
      card: text of README.md.

    Raises:
      UserError: the folder cannot be written.
    """
    verdict = verdicts.read(workdir, scorer.step, scorer.parameters_sha256, config.eval.doubt_level or 1.0)
    export.write(folder, variables, placeless(config), scorer.step)
    try:
        kept = network.plain(network.of_run(config, workdir))
        write_whole(folder / run_files.NETWORK, json.dumps(kept))
        if isinstance(verdict.knowledge, str):
            (folder / DOUBT).unlink(missing_ok=True)
        else:
            write_whole(folder / DOUBT, (Path(workdir) / DOUBT).read_bytes())
        write_whole(folder / CARD, card)
        verdicts.write(folder / DECISION, verdict, scorer.step, scorer.selection, scorer.parameters_sha256)
        sums.write(folder / SUMS, SUMMED)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from None


def placeless(config: ConfigDict) -> dict[str, Any]:
    """The configuration without the places of this machine: sources of data, and files of trained weights."""
    plain = run_files.without_places(configuration.flattened(config.to_dict()))
    given = ConfigDict(config.to_dict())
    for key in (*run_files.SOURCE_KEYS, *run_files.CONTENT_KEYS):
        given.update_from_flattened_dict({key: plain[key]})
    given.data.sources = ConfigDict()
    given.data.records, given.data.decoded = base.get_config().data.records, ""
    return given.to_dict()


def is_one(folder: Path) -> bool:
    """Whether a folder claims to be such a model."""
    return (folder / DECISION).is_file()


def read(folder: Path, doubt_level: float | None = None) -> tuple[ConfigDict, Scorer, Verdict]:
    """The model of a folder, ready to score on this machine's devices.

    Args:
      doubt_level: in place of eval.doubt_level.

    Raises:
      UserError: a file of it is absent, damaged or of another model.
    """
    if damaged := sums.damage(folder / SUMS):
        raise UserError(f"{damaged} since it was exported; export the model again")
    try:
        config = configuration.stored(parse_json((folder / export.CONFIG).read_text())["config"])
        kept = network.from_plain(parse_json((folder / run_files.NETWORK).read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"{folder}: not a whole model of `main.py export` ({said}); export it again") from None
    level = config.eval.doubt_level if doubt_level is None else doubt_level
    verdict, about = verdicts.read_file(folder / DECISION, level)
    model, tokens = scoring.build_model(config, kept)
    abstract = scoring.abstract_variables(model, config, tokens)
    loaded = export.load(str(folder), abstract)
    if loaded.fresh:
        raise UserError(f"{folder}: its {export.ARRAYS} lacks {', '.join(loaded.fresh[:3])}; export the model again")
    variables = {"params": loaded.params, "batch_stats": loaded.batch_stats}
    variables = jax.tree.map(np.asarray, {name: tree for name, tree in variables.items() if name in abstract})
    mesh = make_mesh(1)
    scorer = Scorer(model, mesh, tokens, variables=variables, step=about["step"], selection=about["selection"])
    if scorer.parameters_sha256 != about["parameters_sha256"]:
        raise UserError(f"{folder}: {export.ARRAYS} and {DECISION} are not of one model; export it again")
    return config, scorer, verdict
