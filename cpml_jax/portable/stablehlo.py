"""A program as StableHLO (jax.export): one file for CPUs, CUDA GPUs and TPUs, with any number of clips a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import export

from cpml_jax.portable.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")
# jax.export's documentation, Compatibility guarantees.
COMPATIBILITY = (
    "jax.export promises that a JAX up to 6 months newer than the one that wrote it can run it, and one up to 3 weeks "
    "older"
)


def serialized(program: Program) -> bytes:
    """What jax.export.deserialize takes; each platform's form of the convolutions is in it."""
    exported = export.export(jax.jit(program.function()), platforms=PLATFORMS)(**program.arguments())
    return bytes(exported.serialize())


def run(data: bytes) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
    """The scores of a serialized program, on this machine's device: inputs -> outputs, by name."""
    exported = export.deserialize(bytearray(data))
    return lambda inputs: jax.device_get(jax.jit(exported.call)(**inputs))


def about() -> dict[str, Any]:
    """As program.json has it."""
    return {
        "platforms": list(PLATFORMS),
        "jax": jax.__version__,
        "compatibility": COMPATIBILITY,
    }
