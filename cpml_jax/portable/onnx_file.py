"""A program as ONNX: float32, with any number of clips a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.portable.program import BATCH, Program

_LARGEST = 2_000_000_000  # bytes: protobuf has no larger files


def require() -> None:
    """Raises UserError where the packages that write and run ONNX files are not installed."""
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise UserError(
                f"--format=onnx needs the package {name!r}: `uv sync --extra onnx`, or `pip install onnx onnxruntime`"
            ) from None


def in_float32(program: Program) -> Program:
    """The same parameters, computed with in float32: runtimes of ONNX hardly have bfloat16."""
    return program._replace(model=program.model.clone(dtype=jnp.float32))


def serialized(program: Program) -> bytes:
    """What onnxruntime.InferenceSession takes.

    Raises:
      UserError: the model has an operation that is not translated, or is too large.
    """
    from cpml_jax.portable import onnx_trace

    parameters = sum(x.nbytes for x in jax.tree.leaves(program.variables))
    try:
        model = onnx_trace.model_of(program.function(), program.arguments(), batch_name=BATCH)
        if model.ByteSize() > _LARGEST:
            raise ValueError
    except NotImplementedError as error:
        raise UserError(
            f"--format=onnx: this model has what is not translated ({error}); --format=stablehlo has it all"
        ) from None
    except ValueError:  # protobuf's, too, of more than it can hold
        raise UserError(
            f"--format=onnx: {parameters / 1e9:.1f} GB of parameters do not fit a file of ONNX, 2 GB; "
            "--format=stablehlo has no such limit"
        ) from None
    return model.SerializeToString()


def run(data: bytes) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
    """The scores of a serialized program by onnxruntime on the CPU: inputs -> outputs, by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def scores(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))

    return scores


def about() -> dict[str, Any]:
    """As program.json has it."""
    from cpml_jax.portable.onnx_graph import IR_VERSION, OPSET

    return {
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "compatibility": f"opset {OPSET}, of ONNX 1.15 (October 2023): every later onnxruntime, from 1.17, reads it",
    }
