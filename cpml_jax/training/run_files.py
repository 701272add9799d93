"""The files beside a run's checkpoints: its configuration, its prompts, and whom it was trained on.

They decide whether a later command may use the checkpoints: to resume training, or to score with them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpml_jax import sums
from cpml_jax.configuration import current_names, flattened
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_whole
from cpml_jax.json_schema import OBJECT, OPTIONAL_STRING, STRING, Schema, array, closed, fault, mapping
from cpml_jax.schema import CROP_SIZE

FOLDER, CONFIG, TRAINING_DATA, PROMPTS = "checkpoints", "config.json", "training_data.json", "prompts.json"
NETWORK = "network.json"
SUMS = "run" + sums.SUFFIX  # of these four
# What a checkpoint's arrays and their meaning depend on, and what may change when training resumes.
MODEL_KEYS = ("model", "data.num_frames", "loss.simclr", "loss.affinity")  # these two have projections
CONTENT_KEYS = ("model.text_encoder.bank",)  # a file that may have moved: check_prompts compares its content
# Where a training run starts from. What is needed of these files later is in the checkpoint and in NETWORK.
SOURCE_KEYS = (
    "init_from",
    *(f"model.{part}.weights" for part in ("rppg", "landmarks", "text_encoder", "visual")),
)
FREE_KEYS = (
    "data.records",
    "data.sources",
    "data.limits",
    "data.workers",
    "data.cache_mb",
    "data.decoded",
    "data.read_threads",
    "eval",
    "name",
    "needs",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.devices",
    "train.shard_params",
)
Bank = Mapping[str, tuple[str, ...]]
# What the files hold, as JSON Schema; a work folder may be a stranger's.
_NUMBERS: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_SCHEMAS: dict[str, Schema] = {
    CONFIG: OBJECT,
    PROMPTS: mapping(array(STRING)),
    NETWORK: closed(
        {
            "shapes": mapping(OBJECT),
            "vocabulary": _NUMBERS,
            "tokens": {"oneOf": [{"type": "null"}, array(array(array(_NUMBERS)))]},
            "context_words": array(_NUMBERS),
        }
    ),
    TRAINING_DATA: {
        "type": "object",
        "properties": {
            "dataset": STRING,
            "identities": array(STRING),
            "records": {
                "type": ["object", "null"],
                "properties": {"sha256": OPTIONAL_STRING, "clips": {"type": "integer", "minimum": 0}},
            },
        },
    },
}


def _write(workdir: str | os.PathLike, name: str, text: str) -> None:
    folder = Path(workdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, text)


def _under(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(key + ".") for key in keys)


def is_free(key: str) -> bool:
    """Whether a dotted key may change while a run goes on (FREE_KEYS)."""
    return _under(key, FREE_KEYS)


def without_places(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A flattened configuration, with one word for the place of a file or folder that is read when training starts.

    A package's weights (open-rppg:rlap, open-rppg:rlap:FILE) keep their name.
    """

    def placeless(source: str) -> str:
        return ":".join(source.split(":")[:2]) if source.startswith("open-rppg:") else "given" * bool(source)

    return {
        key: placeless(value) if key in (*SOURCE_KEYS, *CONTENT_KEYS) and isinstance(value, str) else value
        for key, value in flat.items()
    }


def check_whole(workdir: str | os.PathLike[str]) -> None:
    """Raise UserError, naming the file, where one of these is not as it was written: no score rests on it then."""
    if damaged := sums.damage(Path(workdir) / FOLDER / SUMS, gone=False):
        raise UserError(
            f"{damaged} since it was written; put it back from a copy, or delete {Path(workdir) / FOLDER} to train "
            "again"
        )


def renewed(workdir: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """The block writes these files (sums.renewed)."""
    folder = Path(workdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return sums.renewed(folder / SUMS, (CONFIG, TRAINING_DATA, PROMPTS, NETWORK))


def check_config(workdir: str | os.PathLike, config: Mapping[str, Any], *, resume: bool) -> None:
    """Compare a configuration with the one that the workdir's checkpoints were made with.

    Args:
      workdir: of the run.
      config: plain dictionary, as written by `write_config`.
      resume: True: everything that shapes training must be equal; False: only what shapes the model, and trained
        weights that it started from may have moved since.

    Raises:
      UserError: a key differs; the first few are named with both values.
    """
    path = Path(workdir) / FOLDER / CONFIG
    check_whole(workdir)
    if not path.is_file():
        return
    saved = current_names(flattened(_read(workdir, CONFIG) or {}))
    current = flattened(json.loads(json.dumps(config)))
    if not resume:
        check_pixels(path.parent, saved)
        check_numbers(path.parent, saved)
        saved, current = without_places(saved), without_places(current)
        if "rppg" not in saved.get("model.modalities", ("rppg",)):
            saved.pop("model.rppg.frame_size", None)  # nothing reads frames
    # Scoring reads checkpoints of earlier releases: a key that they did not have had today's default.
    compared = saved.keys() | current.keys() if resume else saved.keys()
    differing = [
        key
        for key in sorted(compared)
        if saved.get(key) != current.get(key)
        and key not in CONTENT_KEYS
        and (not _under(key, FREE_KEYS) if resume else _under(key, MODEL_KEYS))
    ]
    if differing:
        shown = "; ".join(f"{key} was {saved.get(key)!r}, is {current.get(key)!r}" for key in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(
            f"{path.parent}: checkpoints of another configuration ({shown}{more}); use another --workdir or set it back"
        )


def check_numbers(folder: Path, saved: Mapping[str, Any]) -> None:
    """Refuse checkpoints whose fusion read agreement or spectrum otherwise than today: their scores would differ.

    Arguments as in check_pixels; raises UserError likewise.
    """
    read = {"rppg": "model.rppg.agreement", "landmarks": "model.landmarks.spectrum"}
    keys = [key for stream, key in read.items() if saved.get(key) and stream in saved.get("model.modalities", ())]
    if keys and "model.visual.contrast" not in saved:
        raise UserError(
            f"{folder}: checkpoints of an earlier version, which read {' and '.join(keys)} otherwise: "
            "train again in another --workdir"
        )


def check_pixels(folder: Path, saved: Mapping[str, Any]) -> None:
    """Refuse checkpoints whose visual stream saw other pixels than it would see today.

    Before it had stills of its own, which its runs know by their key `model.visual.contrast`, it read the frames of the
    rppg stream, as small as those were.

    Args:
      folder: of the checkpoints.
      saved: their flattened configuration, in today's names.

    Raises:
      UserError: they are such.
    """
    size = saved.get("model.rppg.frame_size", CROP_SIZE)
    before = "model.visual.contrast" not in saved and "visual" in saved.get("model.modalities", ())
    if before and size != CROP_SIZE:
        raise UserError(
            f"{folder}: checkpoints of an earlier version, whose visual stream was trained on frames of {size} pixels "
            f"(model.rppg.frame_size); it reads stills of {CROP_SIZE} now: train again in another --workdir"
        )


def write_config(workdir: str | os.PathLike, config: Mapping[str, Any]) -> None:
    """Write the configuration beside the checkpoints, once and atomically."""
    if not (Path(workdir) / FOLDER / CONFIG).is_file():
        _write(workdir, CONFIG, json.dumps(config, indent=1, sort_keys=True))


def write_prompts(workdir: str | os.PathLike, bank: Bank) -> None:
    """Write every class's prompts, in the order of the classes, beside the checkpoints: the user may edit a bank."""
    _write(workdir, PROMPTS, json.dumps(bank, indent=1))


def read_prompts(workdir: str | os.PathLike) -> dict[str, list[str]] | None:
    """{class: its prompts} of a run; None if it has none.

    Raises:
      UserError: the file is not readable.
    """
    return _read(workdir, PROMPTS)


def write_network(workdir: str | os.PathLike, network: Mapping[str, Any]) -> None:
    """Write what network.py keeps. CONFIG is written after it: a run that has CONFIG has begun."""
    _write(workdir, NETWORK, json.dumps(network))


def read_network(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """What `write_network` wrote; None if no run has begun here, or one of an earlier version.

    Raises:
      UserError: the file is not readable.
    """
    return _read(workdir, NETWORK) if (Path(workdir) / FOLDER / CONFIG).is_file() else None


def _read(workdir: str | os.PathLike, name: str) -> dict[str, Any] | None:
    path = Path(workdir) / FOLDER / name
    try:
        value = parse_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(f"{path}: not readable as JSON; {_REMEDIES.get(name, _REMEDY)}") from None
    if said := fault(value, _SCHEMAS[name]):
        raise UserError(f"{path}: not as this program writes it ({said}); {_REMEDIES.get(name, _REMEDY)}")
    return value


_REMEDY = f"delete the folder {FOLDER} to train again"
_REMEDIES = {TRAINING_DATA: "delete it to evaluate without this check"}


def check_prompts(workdir: str | os.PathLike, bank: Bank) -> None:
    """Compare the classes and prompts with those that the workdir's checkpoints were trained with, if it has any.

    Raises:
      UserError: they differ, or the saved ones are not readable.
    """
    path, saved = Path(workdir) / FOLDER / PROMPTS, read_prompts(workdir)
    if saved is None:
        return
    if list(saved) != list(bank):
        raise UserError(
            f"{path}: checkpoints of the classes {', '.join(saved)}, not {', '.join(bank)}; set train.methods and "
            "model.text_encoder.classes back, or use another --workdir"
        )
    changed = [name for name in bank if saved[name] != list(bank[name])]
    if changed:
        raise UserError(
            f"{path}: checkpoints of other prompts for {', '.join(changed)}; this file is a bank that holds them: "
            "set model.text_encoder.bank to a copy of it, or use another --workdir"
        )


def write_training_data(
    workdir: str | os.PathLike, dataset: str, identities: set[str], records: Mapping[str, Any]
) -> None:
    """Write whom a run is trained on beside its checkpoints, so that no evaluation tests on them.

    Args:
      workdir: of the run.
      dataset: train.dataset.
      identities: of the training clips, targets and sources.
      records: provenance.describe_records.
    """
    value = {"dataset": dataset, "identities": sorted(identities - {""}), "records": records}
    _write(workdir, TRAINING_DATA, json.dumps(value, indent=1))


def read_training_data(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """{dataset, identities, records} of a run; None for runs that did not write it.

    Raises:
      UserError: the file is not readable.
    """
    return _read(workdir, TRAINING_DATA)


def check_same_records(workdir: str | os.PathLike, records: Mapping[str, Any]) -> None:
    """Refuse to resume, or to take figures from, a run that was trained on other records than the present ones.

    A run that changed records half-way would have seen people whom training_data.json does not name.

    Args:
      workdir: of the run.
      records: provenance.describe_records.

    Raises:
      UserError: the run was trained on others.
    """
    before = (read_training_data(workdir) or {}).get("records") or {}
    if before.get("sha256") and records["sha256"] and before["sha256"] != records["sha256"]:
        raise UserError(
            f"{workdir}: trained on other records (sha256 {before['sha256'][:12]}, {before.get('clips', '?')} clips) "
            f"than the present ones ({records['sha256'][:12]}, {records['clips']} clips); put those back with "
            "--config.data.records, or use another --workdir"
        )
