"""JAX's primitives as nodes of ONNX: element by element, of shapes, and sums. contraction.py has products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from onnx import helper

from cpml_jax.portable.onnx_graph import Graph, Value

Rule = Callable[..., Any]  # (graph, equation, *values) -> a value, or a list of them
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def shape_of(atom: Any) -> tuple[Any, ...]:
    return tuple(atom.aval.shape)


def element_type(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


_NODES = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow",
    "neg": "Neg", "exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid", "sqrt": "Sqrt", "abs": "Abs",
    "erf": "Erf", "sin": "Sin", "cos": "Cos", "floor": "Floor", "ceil": "Ceil", "sign": "Sign",
    "gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual", "eq": "Equal",
    "and": "And", "or": "Or", "not": "Not",
}  # fmt: skip


@rule(*_NODES)
def _same(graph: Graph, equation: Any, *values: Value) -> Value:
    return graph.add(_NODES[equation.primitive.name], *values)


@rule("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision")
def _unchanged(graph: Graph, equation: Any, *values: Value) -> Any:
    return list(values) if len(values) > 1 else values[0]


def _one(equation: Any) -> np.ndarray:
    return np.ones((), equation.outvars[0].aval.dtype)


@rule("ne")
def _not_equal(graph: Graph, equation: Any, a: Value, b: Value) -> Value:
    return graph.add("Not", graph.add("Equal", a, b))


@rule("is_finite")
def _is_finite(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Not", graph.add("Or", graph.add("IsNaN", x), graph.add("IsInf", x)))


@rule("rsqrt")
def _rsqrt(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Reciprocal", graph.add("Sqrt", x))


@rule("square")
def _square(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Mul", x, x)


@rule("integer_pow")
def _integer_pow(graph: Graph, equation: Any, x: Value) -> Value:
    if equation.params["y"] == 2:
        return graph.add("Mul", x, x)
    return graph.add("Pow", x, np.asarray(equation.params["y"], equation.outvars[0].aval.dtype))


@rule("expm1")
def _expm1(graph: Graph, equation: Any, x: Value) -> Value:
    """ONNX has none. Near 0 it is off by half a unit of float32 at 1, 6e-8, as ELU and its like can bear."""
    return graph.add("Sub", graph.add("Exp", x), _one(equation))


@rule("log1p")
def _log1p(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Log", graph.add("Add", x, _one(equation)))


@rule("clamp")
def _clamp(graph: Graph, equation: Any, low: Value, x: Value, high: Value) -> Value:
    return graph.add("Min", graph.add("Max", x, low), high)


@rule("select_n")
def _select(graph: Graph, equation: Any, which: Value, *cases: Value) -> Value:
    if len(cases) != 2 or equation.invars[0].aval.dtype != np.bool_:
        raise NotImplementedError("a choice of more than two")
    return graph.add("Where", which, cases[1], cases[0])


@rule("convert_element_type")
def _cast(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Cast", x, to=element_type(equation.params["new_dtype"]))


# --- shapes ------------------------------------------------------------------------------------------------------


@rule("reshape", "squeeze", "expand_dims")
def _reshape(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.reshape(x, shape_of(equation.outvars[0]))


@rule("broadcast_in_dim")
def _broadcast(graph: Graph, equation: Any, x: Value) -> Value:
    given, shape = shape_of(equation.invars[0]), equation.params["shape"]
    places = dict(zip(equation.params["broadcast_dimensions"], given, strict=True))
    spread = [places.get(axis, 1) for axis in range(len(shape))]
    if len(spread) != len(given):
        x = x.reshape(spread) if isinstance(x, np.ndarray) else graph.reshape(x, spread)
    return x if spread == list(shape) else graph.add("Expand", x, graph.sizes(shape))


@rule("transpose")
def _transpose(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Transpose", x, perm=list(equation.params["permutation"]))


@rule("slice")
def _slice(graph: Graph, equation: Any, x: Value) -> Value:
    start, limit = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(start)
    shape = shape_of(equation.invars[0])
    axes = [i for i in range(len(start)) if not (start[i] == 0 and limit[i] == shape[i] and steps[i] == 1)]
    return sliced(graph, x, axes, [start[i] for i in axes], [limit[i] for i in axes], [steps[i] for i in axes])


def sliced(graph: Graph, x: Value, axes: Sequence[int], starts: Any, ends: Any, steps: Any) -> Value:
    if not axes:
        return x
    return graph.add("Slice", x, *(np.asarray(numbers, np.int64) for numbers in (starts, ends, axes, steps)))


@rule("rev")
def _reverse(graph: Graph, equation: Any, x: Value) -> Value:
    axes = list(equation.params["dimensions"])
    least = np.iinfo(np.int64).min
    return sliced(graph, x, axes, [-1] * len(axes), [least] * len(axes), [-1] * len(axes))


@rule("pad")
def _pad(graph: Graph, equation: Any, x: Value, filling: Value) -> Value:
    low, high, inside = zip(*equation.params["padding_config"], strict=True)
    if any(inside):
        raise NotImplementedError("padding between elements")
    if any(amount < 0 for amount in (*low, *high)):
        axes = [i for i in range(len(low)) if low[i] < 0 or high[i] < 0]
        last = np.iinfo(np.int64).max
        ends = [high[i] if high[i] < 0 else last for i in axes]
        x = sliced(graph, x, axes, [max(-low[i], 0) for i in axes], ends, [1] * len(axes))
    amounts = np.asarray([max(int(amount), 0) for amount in (*low, *high)], np.int64)
    return graph.add("Pad", x, amounts, filling) if amounts.any() else x


@rule("concatenate")
def _concatenate(graph: Graph, equation: Any, *values: Value | None) -> Value:
    """None: an array of no elements."""
    parts = [value for value in values if value is not None]
    return graph.add("Concat", *parts, axis=equation.params["dimension"]) if len(parts) > 1 else parts[0]


@rule("stack")
def _stack(graph: Graph, equation: Any, *values: Value) -> Value:
    axis = np.asarray([equation.params["axis"]], np.int64)
    parts = [graph.add("Unsqueeze", value, axis) for value in values]
    return graph.add("Concat", *parts, axis=equation.params["axis"]) if len(parts) > 1 else parts[0]


@rule("split")
def _split(graph: Graph, equation: Any, x: Value) -> list[Value]:
    sizes = np.asarray(equation.params["sizes"], np.int64)
    made = graph.add("Split", x, sizes, outputs=len(sizes), axis=equation.params["axis"])
    return made if len(sizes) > 1 else [made]


@rule("tile")
def _tile(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Tile", x, np.asarray(equation.params["reps"], np.int64))


@rule("gather")
def _gather(graph: Graph, equation: Any, x: Value, indices: Value) -> Value:
    """Of known places: along one axis where it is so, else of any."""
    shape, given = shape_of(equation.invars[0]), equation.params
    numbers = given["dimension_numbers"]
    axes = numbers.collapsed_slice_dims
    if isinstance(indices, np.ndarray) and len(axes) == 1 and tuple(numbers.start_index_map) == tuple(axes):
        (axis,), places = axes, indices[..., 0]
        whole = all(size == shape[i] for i, size in enumerate(given["slice_sizes"]) if i != axis)
        ordered = [*range(axis), *range(axis + places.ndim, len(shape) - 1 + places.ndim)]
        inside = graph.multiple(shape[axis]) is None and (places >= 0).all() and (places < shape[axis]).all()
        if whole and inside and list(numbers.offset_dims) == ordered and not numbers.operand_batching_dims:
            return graph.add("Gather", x, places.astype(np.int64), axis=axis)
    return _gather_anywhere(graph, equation, x, indices)


def _gather_anywhere(graph: Graph, equation: Any, x: Value, indices: Value) -> Value:
    """What one clip's elements are taken from is found by gathering their numbers.

    Raises:
      NotImplementedError: places that depend on the input, or that mix clips.
    """
    shape, out = shape_of(equation.invars[0]), shape_of(equation.outvars[0])
    free = graph.multiple(shape[0]) is not None
    if isinstance(indices, str) or (free and (graph.multiple(out[0]) is None or out[0] != shape[0])):
        raise NotImplementedError("indices that depend on the input")
    rest = [int(size) for size in (shape[1:] if free else shape)]
    numbers = np.arange(int(np.prod(rest)), dtype=np.int32).reshape([1] * free + rest)
    params = dict(equation.params)
    if free:
        params["slice_sizes"] = (1, *params["slice_sizes"][1:])
    taken = np.asarray(equation.primitive.bind(jax.numpy.asarray(numbers), jax.numpy.asarray(indices), **params))
    if (taken < 0).any() or (taken >= numbers.size).any():
        raise NotImplementedError("indices outside an array")
    flat = graph.reshape(x, ([shape[0]] if free else []) + [numbers.size])
    chosen = graph.add("Gather", flat, taken.reshape(-1).astype(np.int64), axis=int(free))
    return graph.reshape(chosen, out)


# --- sums --------------------------------------------------------------------------------------------------------

_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


@rule(*_REDUCTIONS)
def _reduce(graph: Graph, equation: Any, x: Value) -> Value:
    axes = np.asarray(equation.params["axes"], np.int64)
    return graph.add(_REDUCTIONS[equation.primitive.name], x, axes, keepdims=0) if len(axes) else x


@rule("cumsum")
def _cumulative(graph: Graph, equation: Any, x: Value) -> Value:
    axis = np.asarray(equation.params["axis"], np.int64)
    return graph.add("CumSum", x, axis, reverse=int(equation.params["reverse"]))


@rule("argmax")
def _argmax(graph: Graph, equation: Any, x: Value) -> Value:
    (axis,) = equation.params["axes"]
    return graph.add(
        "Cast", graph.add("ArgMax", x, axis=axis, keepdims=0), to=element_type(equation.params["index_dtype"])
    )
