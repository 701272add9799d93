"""JAX's matrix products, convolutions and Fourier transforms as nodes of ONNX."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from cpml_jax.portable.onnx_graph import Graph, Value
from cpml_jax.portable.onnx_rules import rule, shape_of


class Spectrum(tuple):
    """Real and imaginary part: ONNX's runtimes have no complex numbers."""


@rule("dot_general")
def _dot(graph: Graph, equation: Any, a: Value, b: Value) -> Value:
    """A plain product of matrices where it is one, else Einsum."""
    (contracted, batched) = equation.params["dimension_numbers"]
    left, right = shape_of(equation.invars[0]), shape_of(equation.invars[1])
    plain = len(contracted[0]) == 1 and not batched[0] and len(right) == 2 and isinstance(b, np.ndarray)
    if plain and contracted[0][0] == len(left) - 1:
        return graph.add("MatMul", a, b if contracted[1][0] == 0 else np.ascontiguousarray(b.T))
    letters = iter(string.ascii_lowercase)
    of_left = [next(letters) for _ in left]
    of_right = [next(letters) for _ in right]
    for one, other in zip((*contracted[0], *batched[0]), (*contracted[1], *batched[1]), strict=True):
        of_right[other] = of_left[one]
    both = [of_left[i] for i in batched[0]]
    out = both + [of_left[i] for i in range(len(left)) if i not in (*contracted[0], *batched[0])]
    out += [of_right[i] for i in range(len(right)) if i not in (*contracted[1], *batched[1])]
    return graph.add("Einsum", a, b, equation=f"{''.join(of_left)},{''.join(of_right)}->{''.join(out)}")


def _transposed(graph: Graph, x: Value, axes: Sequence[int]) -> Value:
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x.transpose(axes))
    return x if list(axes) == sorted(axes) else graph.add("Transpose", x, perm=list(axes))


@rule("conv_general_dilated")
def _convolution(graph: Graph, equation: Any, x: Value, kernel: Value) -> Value:
    """ONNX's is channels-first. Its kernel is (out, in / groups, ...), as JAX's rhs_spec reads."""
    given = equation.params
    layout = given["dimension_numbers"]
    if any(step != 1 for step in given["lhs_dilation"]) or given["batch_group_count"] != 1:
        raise NotImplementedError("a transposed convolution")
    low, high = zip(*given["padding"], strict=True)
    weights = _transposed(graph, kernel, layout.rhs_spec)
    y = graph.add(
        "Conv",
        _transposed(graph, x, layout.lhs_spec),
        weights,
        strides=list(given["window_strides"]),
        pads=[*map(int, low), *map(int, high)],
        dilations=list(given["rhs_dilation"]),
        group=given["feature_group_count"],
    )
    return _transposed(graph, y, np.argsort(layout.out_spec).tolist())


@rule("fft")
def _fourier(graph: Graph, equation: Any, x: Value) -> Spectrum:
    """The transform of real numbers over the last axis, as two products with its matrix."""
    lengths = equation.params["fft_lengths"]
    if equation.params["fft_type"] != jax.lax.FftType.RFFT or len(lengths) != 1:
        raise NotImplementedError("a Fourier transform of complex numbers")
    (length,) = lengths
    turns = np.outer(np.arange(length), np.arange(length // 2 + 1)) % length * (2 * np.pi / length)
    return Spectrum(graph.add("MatMul", x, part.astype(np.float32)) for part in (np.cos(turns), -np.sin(turns)))


@rule("real")
def _real(graph: Graph, equation: Any, x: Spectrum) -> Value:
    return x[0]


@rule("imag")
def _imag(graph: Graph, equation: Any, x: Spectrum) -> Value:
    return x[1]
