"""A program as StableHLO (jax.export): one file for CPUs, CUDA GPUs and TPUs, with any number of clips a call."""

from __future__ import annotations

import jax
from jax import export

from cpml_jax.portable.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")
# jax.export's documentation, Compatibility guarantees.
COMPATIBILITY = (
    "jax.export promises that what one version of JAX has written can be run by later ones for at least 6 months, and "
    "by earlier ones for at least 3 weeks"
)


def serialized(program: Program) -> bytes:
    """What jax.export.deserialize takes; each platform's form of the convolutions is in it."""
    exported = export.export(jax.jit(program.function()), platforms=PLATFORMS)(**program.arguments())
    return bytes(exported.serialize())
