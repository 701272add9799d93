"""Configuration files and keys: where a named file lies, and what earlier versions called a key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cpml_jax import configs
from cpml_jax.errors import UserError

Flat = Mapping[str, Any]  # dotted key -> value

# Old key or section -> today's. Files that a run of an earlier version left are read through this.
RENAMED = {
    "train.qualities": "train.compressions",
    "eval.qualities": "eval.compressions",
    "eval.cross_quality": "eval.cross_compression",
    "eval.variants": "eval.conditions",
    "model.physformer": "model.rppg",
    "model.landmark_rnn": "model.landmarks",
    "model.clip_text": "model.text_encoder",
    "model.clip_image": "model.visual",
}

# Keys that are gone, with the reason; the configurations of earlier runs have them still.
REMOVED = {"eval.bootstrap": "intervals are computed without resamples"}

# Today's key that was true or false -> today's words for the two.
OLD_VALUES: Mapping[str, Mapping[bool, str]] = {"model.visual.encoder": {True: "clip", False: "none"}}


def flattened(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries as {dotted key: value}; empty ones have none. (flax has it too, but loads jax.)"""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flattened(value).items()}
        else:
            flat[key] = value
    return flat


def renamed(key: str) -> str:
    """Today's name of a dotted key."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key[len(old) :]
    return key


def changed(key: str) -> str | None:
    """What has become of a dotted key, in one line; None where it is called the same today."""
    if key in REMOVED:
        return f"the configuration's key {key!r} is gone ({REMOVED[key]}); leave it out"
    return f"the configuration's key {key!r} is now called {renamed(key)!r}" if renamed(key) != key else None


def current_names(flat: Mapping[str, object]) -> dict[str, object]:
    """A flattened configuration with today's keys and values."""
    today = {renamed(key): value for key, value in flat.items() if key not in REMOVED}
    for key, words in OLD_VALUES.items():
        value = today.get(key)
        if isinstance(value, bool):
            today[key] = words[value]
    return today


def stored(plain: Mapping[str, Any]) -> ConfigDict:
    """The configuration that a run, or an exported model, was stored with; keys that it lacked have today's default.

    Args:
      plain: nested dictionaries, as read from JSON: its lists are tuples where the default is one.

    Raises:
      UserError: it has a key that no version had.
    """
    from cpml_jax.configs import base

    config = base.get_config()
    defaults = flattened(config.to_dict())
    for key, value in current_names(flattened(plain)).items():
        if key in defaults:
            config.update_from_flattened_dict({key: _as(value, defaults[key])})
        elif not key.startswith("data.sources."):
            raise UserError(f"a stored configuration with the unknown key {key!r}: is it of a later version?")
    sources = dict(dict(plain).get("data") or {}).get("sources") or {}
    config.data.sources = ConfigDict(sources)
    return config


def _as(value: Any, default: Any) -> Any:
    """A value read from JSON, of its default's type: JSON has lists for tuples, and 2 for 2.0."""
    if isinstance(default, tuple) and isinstance(value, list):
        return _tuples(value)
    return float(value) if isinstance(default, float) and type(value) is int else value


def _tuples(value: Any) -> Any:
    """Lists in lists as tuples in tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def bundled() -> dict[str, Path]:
    """The configuration files that come with the package, by name."""
    files = sorted(Path(configs.FOLDER).glob("*.py"))
    return {path.stem: path for path in files if not path.stem.startswith("_")}


def locate(value: str) -> str:
    """`--config=NAME[:argument]` with the file that it means in place of NAME.

    A file of the current folder comes first: NAME, NAME.py or configs/NAME.py. Then the bundled configuration of that
    name, whether it is written `synthetic`, `synthetic.py` or `configs/synthetic.py`.

    Raises:
      UserError: there is neither; the nearest names are given.
    """
    name, colon, argument = value.partition(":")
    path = Path(name)
    for candidate in (path, path.with_name(f"{path.name}.py") if path.name else path, Path("configs") / f"{name}.py"):
        if candidate.is_file():
            return f"{candidate}{colon}{argument}"
    known = bundled()
    if path.parent in (Path("."), Path("configs")) and path.stem in known:
        return f"{known[path.stem]}{colon}{argument}"
    if path.parent == Path("configs/protocols"):
        raise UserError(f"--config={value}: write configs/protocols.py:{path.stem}{colon}{argument}")
    near = difflib.get_close_matches(path.stem, known, n=1)
    hint = f"did you mean configs/{near[0]}.py?" if near else f"the bundled ones are {', '.join(known)}"
    raise UserError(f"--config={value}: no such file; {hint}")
