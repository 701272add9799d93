"""A traced JAX function as an ONNX model.

What depends on no input is computed here and becomes a constant. Where a form of an operation is chosen by platform
(models/convolution.py), it is the CPU's, whose 2-D convolutions and products every runtime of ONNX has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import helper

from cpml_jax.portable import onnx_products  # noqa: F401 - registers its rules
from cpml_jax.portable.onnx_graph import IR_VERSION, OPSET, Graph, needed
from cpml_jax.portable.onnx_products import Spectrum
from cpml_jax.portable.onnx_rules import RULES, element_type, shape_of

PLATFORM = "cpu"
_MOVES = ("transpose", "reshape", "squeeze", "slice", "broadcast_in_dim", "copy")  # of elements, also complex ones


def model_of(
    function: Callable[..., Mapping[str, jax.Array]],
    arguments: Mapping[str, jax.ShapeDtypeStruct],
    *,
    batch_name: str,
) -> onnx.ModelProto:
    """The model of a function of named arrays that gives named arrays.

    Args:
      arguments: shapes and types; the first dimension of each is the same free one.
      batch_name: what that dimension is called in the model.

    Raises:
      NotImplementedError: an operation without a rule, or one of arguments that its rule does not do.
    """
    traced = jax.jit(function).trace(**arguments)
    flat, tree = jax.tree.flatten(dict(arguments))
    names = list(jax.tree.unflatten(tree, range(len(flat))))  # a dictionary's keys, in JAX's order
    ordered = sorted(names)
    graph = Graph(ordered[0], next(iter(arguments.values())).shape[0])
    closed: ClosedJaxpr = traced.jaxpr
    constants = Constants.of(graph, closed)
    results = _run(graph, constants, (), closed.jaxpr, [np.asarray(c) for c in closed.consts], ordered)
    out_names = sorted(traced.out_info)
    for name, value in zip(out_names, results, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.name(value)], [name]))
    nodes, read = needed(graph.nodes, out_names)

    def described(name: str, of: Any) -> onnx.ValueInfoProto:
        sizes = [batch_name if graph.multiple(size) else int(size) for size in of.shape]
        return helper.make_tensor_value_info(name, element_type(of.dtype), sizes)

    proto = helper.make_graph(
        nodes,
        "scores",
        [described(name, arguments[name]) for name in ordered],
        [described(name, traced.out_info[name]) for name in out_names],
        [tensor for name, tensor in graph.initializers.items() if name in read],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


Path = tuple[int, ...]  # of an equation: the calls around it, and itself


class Constants:
    """What depends on no input. All of it is found by one program: each by itself would be one to compile.

    Attributes:
      values: path -> outputs of that equation; None while they are gathered, and no node is made.
    """

    def __init__(self, values: dict[Path, list[np.ndarray]] | None) -> None:
        self.values = values
        self._gathered: dict[Path, list[Any]] = {}

    @classmethod
    def of(cls, graph: Graph, closed: ClosedJaxpr) -> Constants:
        paths: list[Path] = []

        def gather(consts: Sequence[Any]) -> list[list[Any]]:
            first = cls(None)
            _run(graph, first, (), closed.jaxpr, consts, [_UNKNOWN] * len(closed.jaxpr.invars))
            paths.extend(first._gathered)
            return list(first._gathered.values())

        values = jax.device_get(jax.jit(gather)(list(closed.consts)))
        return cls(dict(zip(paths, values, strict=True)))

    def outputs(self, path: Path, equation: Any, values: Sequence[Any]) -> list[Any]:
        """Of an equation whose inputs are known."""
        if self.values is not None and path in self.values:
            return [np.asarray(value) for value in self.values[path]]
        made = equation.primitive.bind(*map(jax.numpy.asarray, values), **equation.params)
        made = list(made) if equation.primitive.multiple_results else [made]
        if self.values is None:
            self._gathered[path] = made
            return made
        return [np.asarray(value) for value in made]


_UNKNOWN = ""  # stands for a name while constants are gathered


def _run(
    graph: Graph,
    constants: Constants,
    path: Path,
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    wanted: Sequence[bool] | None = None,
) -> list[Any]:
    """The values of a jaxpr's outputs; None for those that are not wanted, and nothing is done for these."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return known.get(atom)
        aval: Any = atom.aval
        return np.asarray(atom.val, aval.dtype)

    kept = wanted or [True] * len(jaxpr.outvars)
    live = {atom for atom, keep in zip(jaxpr.outvars, kept, strict=True) if keep and not isinstance(atom, Literal)}
    steps = []
    for equation in reversed(jaxpr.eqns):
        if not live.isdisjoint(equation.outvars):
            steps.append((equation, [out in live for out in equation.outvars]))
            # Nothing is read of an array of no elements, as jnp.pad makes them of an axis that it does not pad.
            live.update(a for a in equation.invars if not isinstance(a, Literal) and 0 not in shape_of(a))
    for equation, used in reversed(steps):
        at = (*path, id(equation))
        made = _equation(graph, constants, at, equation, [read(atom) for atom in equation.invars], used)
        known.update(zip(equation.outvars, made, strict=True))
    return [read(atom) if keep else None for atom, keep in zip(jaxpr.outvars, kept, strict=True)]


def _equation(
    graph: Graph, constants: Constants, path: Path, equation: Any, values: list[Any], used: list[bool]
) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "platform_index":
        return [np.asarray(_branch_of(params["platforms"]), np.int32)]
    if name == "dim_as_value":  # clips do not mix: nothing is divided by how many there are
        raise NotImplementedError("the number of clips as a number")
    if name == "cond":
        if not isinstance(values[0], np.ndarray):
            raise NotImplementedError("a branch that depends on the input")
        branch = params["branches"][int(values[0])]
        return _run(graph, constants, path, branch.jaxpr, branch.consts, values[1:], used)
    if name == "scan":
        return _scan(graph, constants, path, equation, values)
    inner = next((params[key] for key in ("jaxpr", "call_jaxpr") if key in params), None)
    if inner is not None:
        body, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, [])
        return _run(graph, constants, path, body, consts, values, used)
    static = all(graph.multiple(size) is None for out in equation.outvars for size in shape_of(out))
    if static and all(isinstance(value, (np.ndarray, jax.Array)) for value in values):
        return constants.outputs(path, equation, values)
    if constants.values is None:
        return [_UNKNOWN] * len(equation.outvars)
    if name not in RULES:
        raise NotImplementedError(f"the operation {name!r} of JAX")
    apply = functools.partial(RULES[name], graph, equation)
    if name in _MOVES and isinstance(values[0], Spectrum):
        return [Spectrum(map(apply, values[0]))]
    made = apply(*values)
    return made if isinstance(made, list) else [made]


def _branch_of(platforms: Sequence[Sequence[str] | None]) -> int:
    named = [i for i, of in enumerate(platforms) if of is not None and PLATFORM in of]
    return named[0] if named else [i for i, of in enumerate(platforms) if of is None][0]


def _scan(graph: Graph, constants: Constants, path: Path, equation: Any, values: list[Any]) -> list[Any]:
    """A loop over an axis; constants of its body are the outer graph's values."""
    params = equation.params
    count, carried = params["num_consts"], params["num_carry"]
    shared, start, scanned = values[:count], values[count : count + carried], values[count + carried :]
    body, closed = graph.inner(), params["jaxpr"]
    atoms = closed.jaxpr.invars[count:]
    names = [body.new_name("step") for _ in atoms]
    results = _run(body, constants, path, closed.jaxpr, closed.consts, [*shared, *names])
    if constants.values is None:
        return [_UNKNOWN] * len(equation.outvars)
    outs = []
    for value in results:  # an output of its own for each, even where the body only hands something on
        outs.append(body.add("Identity", value))
    nodes, _ = needed(body.nodes, outs)

    def described(name: str, atom: Any) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, element_type(atom.aval.dtype), None)

    proto = helper.make_graph(
        nodes,
        graph.new_name("body"),
        [described(name, atom) for name, atom in zip(names, atoms, strict=True)],
        [described(name, atom) for name, atom in zip(outs, closed.jaxpr.outvars, strict=True)],
    )
    backwards = int(params["reverse"])
    made = graph.add(
        "Scan",
        *start,
        *scanned,
        outputs=len(outs),
        body=proto,
        num_scan_inputs=len(scanned),
        scan_input_directions=[backwards] * len(scanned),
        scan_output_directions=[backwards] * (len(outs) - carried),
    )
    return made if len(outs) > 1 else [made]
