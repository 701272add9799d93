"""What a result was made from: data, code and packages. Enough to reproduce it, or to see why that is impossible."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cpml_jax.configuration import flattened
from cpml_jax.data.records import INDEX, SUMMARY, RecordSet
from cpml_jax.files import parse_json
from cpml_jax.training import run_files

PACKAGES = ("cpml-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn")


def provenance(record_sets: Mapping[str, RecordSet]) -> dict[str, Any]:
    """What evaluation.json says under "provenance".

    Args:
      record_sets: RecordSet by name.

    Returns:
      records: {name: {sha256, schema_version, clips}}; commit: of the checkout that holds this package, with "+" behind
      it where files were changed, None outside a checkout; versions: {python, packages}.
    """
    return {
        "records": {name: describe_records(records) for name, records in record_sets.items()},
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def describe_records(records: RecordSet) -> dict[str, Any]:
    """{sha256, schema_version, clips}. The hash is over prepare.json's, which is the frames', and the index."""
    directory = Path(records.directory)
    try:
        summary, index = parse_json((directory / SUMMARY).read_text()), (directory / INDEX).read_bytes()
    except OSError:
        return {"sha256": None, "schema_version": None, "clips": len(records.rows)}
    digest = hashlib.sha256(summary["sha256"].encode() + index).hexdigest()
    return {"sha256": digest, "schema_version": summary["schema"], "clips": len(records.rows)}


def parameters_sha256(variables: Mapping[str, Any]) -> str:
    """SHA-256 over path, dtype, shape and bytes of every array of a tree of variables, in the order of their paths.

    Args:
      variables: nested mappings; leaves are arrays on the host, or on devices and whole.
    """
    digest = hashlib.sha256()
    for path, leaf in sorted(flatten_dict(dict(variables), sep="/").items()):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def config_sha256(config: Mapping[str, Any]) -> str:
    """SHA-256 over what of a configuration shapes training: all but run_files.FREE_KEYS, which may change on the way.

    Where data comes from is among those; the records' own hashes stand for what it is. Of trained weights to start from
    it counts that there are some: the parameters' hash stands for what they are.
    """
    flat = run_files.without_places(flattened(json.loads(json.dumps(config))))
    shaping = {key: value for key, value in flat.items() if not run_files.is_free(key)}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def commit() -> str | None:
    """The commit of the checkout that holds this package, "+" behind it if files were changed; None outside of one."""

    def git(*arguments: str) -> str:
        folder = str(Path(__file__).parent)
        answer = subprocess.run(
            ("git", "-C", folder, *arguments), capture_output=True, text=True, timeout=20, check=True
        )
        return answer.stdout.strip()

    try:
        # A package that is installed below another project's checkout is no part of it.
        if not git("ls-files", Path(__file__).name):
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def version(name: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
