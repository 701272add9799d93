"""Accelerators to compile for, none of which need be here: TPU slices by their names, H100s from a description."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError, one_line

DESCRIPTION = Path(__file__).with_name("h100.txtpb")
NAMES = ("v5e:2x4", "v6e:2x4", "v5p:2x2x2", "v5p:2x2x4", "h100:1", "h100:8")
_PATTERN = re.compile(r"(v5e|v6e):\d+x\d+|(v5p):\d+x\d+x\d+|(h100):[1-8]")
# JAX takes this share of a GPU's memory unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
_GPU_SHARE = 0.75


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device, as its maker describes it.

    Attributes:
      platform: JAX's name.
      flops: bfloat16 operations a second, dense.
      bandwidth: bytes a second from and to main memory.
      memory: bytes that a program may have; None where the compiler knows, and refuses what does not fit.
    """

    platform: str
    flops: float
    bandwidth: float
    memory: int | None


# cloud.google.com/tpu/docs/v5e, v6e, v5p; NVIDIA's data sheet of the H100 SXM.
CHIPS = {
    "v5e": Chip("tpu", 197e12, 819e9, None),
    "v6e": Chip("tpu", 918e12, 1640e9, None),
    "v5p": Chip("tpu", 459e12, 2765e9, None),
    "h100": Chip("gpu", 989e12, 3352e9, int(_GPU_SHARE * 84_942_979_072)),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices of one kind.

    Attributes:
      name: chip:size.
      chip: one of them.
      options: the compiler's, beside its defaults.
    """

    name: str
    chip: Chip
    options: Mapping[str, Any]


def named(name: str) -> Target:
    """The target of a name.

    Raises:
      UserError: there is none of that name, or the package of its compiler is not installed.
    """
    if not _PATTERN.fullmatch(name):
        raise UserError(f"unknown target {name!r}; the targets are {', '.join(NAMES)}, and other sizes of these")
    chip = CHIPS[name.partition(":")[0]]
    modules = ("libtpu",) if chip.platform == "tpu" else ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")
    if not any(_installed(module) for module in modules):
        package = "libtpu" if chip.platform == "tpu" else "jax-cuda12-plugin"
        raise UserError(f"{name}: its compiler is in the package {package!r}; run `uv sync --extra compile`")
    # A GPU's kernels are chosen by trying them, which takes a GPU. With Triton, untried, no tile is found for a matmul
    # of PhysFormer's backward pass, and the compilation fails.
    untried = {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False}
    return Target(name, chip, untried if chip.platform == "gpu" else {})


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def prepare_environment() -> None:
    """Before JAX starts: trace on the CPU whatever is here, ask no network for a TPU's metadata, lock no TPU."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def devices_of(target: Target) -> list[Any]:
    """The target's devices, which can be compiled for and not run on.

    Raises:
      UserError: there is no such slice.
    """
    import jax
    from jax.experimental import topologies

    try:
        if target.chip.platform == "tpu":
            return list(topologies.get_topology_desc(target.name, platform="tpu").devices)
        size = f"1x1x{target.name.partition(':')[2]}"  # partitions x hosts x devices
        text = DESCRIPTION.read_text(encoding="utf-8")
        description = topologies.get_topology_desc(size, platform="cuda", topology=size, target_config=text)
        return list(description.devices)
    except jax.errors.JaxRuntimeError as error:
        raise UserError(f"{target.name}: {one_line(error)}") from None
