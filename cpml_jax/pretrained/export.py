"""A trained model as a folder of two files, and back: model.safetensors and config.json; model.sha256 of the two.

Arrays are named collection/module/.../leaf, as "params/rppg/wave/kernel"; config.json holds
{"schema": "cpml-weights/1.0.0", "step": ..., "config": the whole configuration}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax.traverse_util import unflatten_dict

from cpml_jax import sums
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_json, write_whole
from cpml_jax.pretrained.huggingface import read_safetensors
from cpml_jax.pretrained.source import Loaded, flat, refuse

ARRAYS, CONFIG, SUMS = "model.safetensors", "config.json", "model" + sums.SUFFIX
SCHEMA = "cpml-weights/1.0.0"
COLLECTIONS = ("params", "batch_stats")


def write(folder: Path, variables: Mapping, config: Mapping, step: int) -> None:
    """Write the two files, each whole or not at all.

    Args:
      folder: made if it does not exist.
      variables: {"params": ..., "batch_stats": ...} of arrays.
      config: plain dictionary of the whole configuration.
      step: the training step that the arrays are of.

    Raises:
      UserError: the folder cannot be written.
    """
    from safetensors.numpy import save

    arrays = {"/".join(path): np.asarray(value, order="C") for path, value in flat(variables).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sums.renewed(folder / SUMS, (ARRAYS, CONFIG)):
            write_whole(folder / ARRAYS, save(arrays, metadata={"format": SCHEMA}))
            write_json(folder / CONFIG, {"schema": SCHEMA, "step": step, "config": config})
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from None


def load(source: str, variables: Mapping) -> Loaded:
    """Read such a folder for a model.

    Modules that only the model has stay fresh, and those that only the folder has are ignored (another set of
    modalities, for example); within a module that both have, all names and shapes must agree.

    Args:
      source: the folder.
      variables: {"params": ..., "batch_stats": ...} of CPML; anything with shapes does.

    Raises:
      UserError: no such folder, a damaged file, or names or shapes that do not fit; all of them are listed.
    """
    folder = Path(source).expanduser()
    try:
        schema = parse_json((folder / CONFIG).read_text()).get("schema")
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{folder}: no {CONFIG} of `main.py export` in it; name the folder of an export") from None
    if schema != SCHEMA:
        raise UserError(f"{folder}/{CONFIG}: its schema is {schema!r}, not {SCHEMA!r}; is this a folder of an export?")
    if damaged := sums.damage(folder / SUMS):
        raise UserError(f"{damaged} since it was exported; put it back from a copy, or export it again")
    arrays = {tuple(name.split("/")): value for name, value in read_safetensors(folder / ARRAYS)[0].items()}
    odd = sorted("/".join(path) for path in arrays if len(path) < 2 or path[0] not in COLLECTIONS)
    if odd:
        raise UserError(f"{folder / ARRAYS}: {odd[0][:60]!r} is no name of an array of `main.py export`")
    wanted = {path: np.shape(value) for path, value in flat(variables).items()}
    common = {path[1] for path in arrays} & {path[1] for path in wanted}
    missing, unused, misfits = [], [], []
    for path in sorted(arrays.keys() | wanted.keys()):
        name = "/".join(path)
        if path[1] not in common:
            continue
        if path not in arrays:
            missing.append(name)
        elif path not in wanted:
            unused.append(name)
        elif arrays[path].shape != wanted[path]:
            misfits.append(f"{name} {arrays[path].shape} does not fit {wanted[path]}")
        elif not np.isfinite(arrays[path]).all():
            misfits.append(f"{name} holds NaN or infinite numbers")
    refuse(str(folder), missing=missing, unused=unused, misfits=misfits)
    chosen = {path: value for path, value in arrays.items() if path[1] in common}
    params, statistics = (
        unflatten_dict({path[1:]: value for path, value in chosen.items() if path[0] == kind}) for kind in COLLECTIONS
    )
    return Loaded(
        params,
        statistics,
        ["/".join(path) for path in sorted(chosen)],
        ["/".join(path) for path in sorted(wanted) if path[1] not in common],
        ["/".join(path) for path in sorted(arrays) if path[1] not in common],
    )
