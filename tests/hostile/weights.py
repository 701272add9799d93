"""Small files of every format of weights that is read, and what reads each."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch_writer

from cpml_jax.doubt import knowledge
from cpml_jax.evaluation import results_file
from cpml_jax.pretrained import export, huggingface, open_rppg, torch_file
from cpml_jax.report import run_files as report_files
from data_prep.records import plain_file

STATE = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(4, 6), "a.bias": np.ones(4, np.float16),
    "b.weight": np.zeros((2, 3, 1), np.float64), "steps": np.array(7),
}  # fmt: skip


def torch_bytes(zipped: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return torch_writer.save({"state_dict": STATE, "epoch": 3}, Path(folder) / "a.pt", zipped).read_bytes()


def hdf5_bytes(**options) -> bytes:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name, value in STATE.items():
            written.create_dataset(f"layers/{name}", data=value, **(options if value.ndim else {}))
    return file.getvalue()


def safetensors_bytes() -> bytes:
    from safetensors.numpy import save

    return save({f"params/{name.replace('.', '/')}": value for name, value in STATE.items()}, {"format": "x"})


def npz_bytes(compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, allow_pickle=False, **STATE)
    return file.getvalue()


def plain_bytes() -> bytes:
    return plain_file_bytes({"x": STATE, "frames": [b"abc", b"d"], "name": "é"})


def plain_file_bytes(value: object) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        plain_file.write(Path(folder) / "a.npz", value)
        return (Path(folder) / "a.npz").read_bytes()


def exported(path: Path) -> object:
    """As init_from reads a folder of `main.py export`, whose arrays these are."""
    (path.parent / export.CONFIG).write_text(json.dumps({"schema": export.SCHEMA}))
    path.replace(path.parent / export.ARRAYS)
    a = {"weight": np.zeros((4, 6), np.float32), "bias": np.zeros(4, np.float32)}
    return export.load(str(path.parent), {"params": {"a": a}, "batch_stats": {}})


def features(path: Path) -> object:
    """As evaluate and report read features.npz."""
    path = path.replace(path.parent / results_file.FEATURES)
    results_file.read_arrays(path.parent)
    return report_files._arrays(path)


def doubted(path: Path) -> object:
    """doubt.npz; what cannot be read is said in the answer."""
    return knowledge.read(path, "ab", 0.05)


# format -> (bytes of a good file, what reads it)
FORMATS: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    "safetensors": (safetensors_bytes, huggingface.read_safetensors),
    "safetensors of an export": (safetensors_bytes, exported),
    "PyTorch, zip": (lambda: torch_bytes(True), torch_file.read),
    "PyTorch, old": (lambda: torch_bytes(False), torch_file.read),
    "HDF5": (hdf5_bytes, open_rppg.read),
    "HDF5, compressed": (lambda: hdf5_bytes(compression="gzip", chunks=True), open_rppg.read),
    "npz of features": (npz_bytes, features),
    "npz, compressed": (lambda: npz_bytes(True), features),
    "npz of doubt": (npz_bytes, doubted),
    "npz of work": (plain_bytes, plain_file.read),
}
