"""How faces are found and measured: the part of what records are that the code decides, not the configuration.

It is kept with a record set's parameters (prepare.json), so that records of two recipes are never taken for one.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

import cpml_jax
from data_prep import sources
from data_prep.face import agreement, clips, crop, detector, landmarks, mask, rppg, tracks

# Raise it whenever the code would make other records of the same videos. 1: releases 0.1.0 and 0.2.0.
VERSION = 2

# Of records whose parameters name no recipe: those of version 0.1.0, which had no other.
EARLIER: dict[str, Any] = {
    "version": 1,
    "detector": {
        "name": "mtcnn",
        "package": "facenet-pytorch",
        "version": "2.6",
        "thresholds": [0.8, 0.8, 0.9],
        "smallest_face": 0.08,
        "probability": 0.9,
    },
    "tracks": {"side": 480, "key_interval": 15, "overlap": 0.3, "misses": 2, "cut": 30.0, "smoothing": 8.0},
    "crop": {"margin": 1.3},
    "landmarks": {
        "name": "dlib-68",
        "package": "face-recognition-models",
        "version": "0.3",
        "smoothing": {"window": 7, "order": 2},
    },
    "mask": {"bright": 32, "covered": 0.3},
    "clips": {"max_invalid": 0.1},
    "pulse": {"band_hz": [0.6, 4.0]},
}

# Parameters of records that earlier versions prepared -> their names today.
RENAMED = {"variants": "conditions"}


def current(*, ready_made: bool) -> dict[str, Any]:
    """The recipe by which videos are prepared now; ready-made crops are only measured."""
    always = {"version": VERSION, "clips": clips.identity(), "pulse": rppg.identity()}
    if ready_made:
        return always
    return {
        "detector": detector.shared_detector().identity,
        "tracks": tracks.identity(),
        "crop": crop.identity(),
        "landmarks": landmarks.identity(),
        "agreement": agreement.identity(),
        "mask": mask.identity(),
        **always,
    }


# What decodes, fits and computes. A patch of it moves last bits, so finished records stay usable whatever the release,
# and prepare.json says which it was; work in progress is not continued with another.
_PACKAGES = ("av", "dlib-bin", "numpy", "opencv-python-headless", "onnxruntime")


def software() -> dict[str, str | None]:
    """Exact versions of this package and of those that records are made with; None for one that is not installed."""
    return {"cpml-jax": cpml_jax.__version__} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A record set's parameters, as JSON has them, with the current recipe of its kind."""
    ready_made = getattr(sources.load(parameters["kind"]), "READY_MADE", False)
    return json.loads(json.dumps(dict(parameters) | current(ready_made=ready_made)))


def difference(made: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first parameter that differs: its name ("detector.version") and both values; None if all are equal.

    Args:
      made: of finished records or of work in progress, of any version. now: complete.
    """
    earlier = {key: EARLIER[key] for key in now.keys() & EARLIER.keys()}
    made = {RENAMED.get(key, key): value for key, value in made.items()}
    then = (earlier | made).get("version")
    if then != now.get("version"):  # it stands for every other difference of the recipe
        return "version", then, now.get("version")
    return first_difference(_canonical(earlier | made), _canonical(now))


def _canonical(parameters: Mapping[str, Any]) -> dict[str, Any]:
    every = {} if parameters.get("splits", True) else {"splits": list(sources.SPLITS)}  # none named: all of them
    return dict(parameters) | every


def first_difference(made: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> tuple[str, Any, Any] | None:
    """Name, with the names of the dictionaries around it, and both values of the first item that differs."""
    for key in sorted(made.keys() | now.keys()):
        one, other = made.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            deeper = first_difference(one, other, f"{prefix}{key}.")
            if deeper:
                return deeper
        elif one != other:
            return prefix + key, one, other
    return None
