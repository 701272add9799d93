"""An ONNX graph in the making: nodes, constants, and sizes that depend on the number of clips.

A value is either known, as a NumPy array, or the name of what a node or an input gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 9  # that opset's

Value = np.ndarray | str


class Graph:
    """Nodes in order of computation. A body of a Scan is a graph of its own, which sees the outer one's names.

    Args:
      batch_input: name of the input whose first dimension is the number of clips.
      clips: that number, as JAX's shapes have it.
      outer: the graph around it.
    """

    def __init__(self, batch_input: str, clips: Any, outer: Graph | None = None):
        self._batch_input, self.clips, self._outer = batch_input, clips, outer
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[Any, str] = {} if outer is None else outer._constants
        self.initializers: dict[str, onnx.TensorProto] = {} if outer is None else outer.initializers
        self._counter: list[int] = [0] if outer is None else outer._counter
        self._batch: str | None = None

    def inner(self) -> Graph:
        """A graph inside this one."""
        return Graph(self._batch_input, self.clips, self)

    def new_name(self, of: str) -> str:
        self._counter[0] += 1
        return f"{of}_{self._counter[0]}"

    def name(self, value: Value) -> str:
        """The name of a value; a known one becomes a constant, each once."""
        if isinstance(value, str):
            return value
        array = np.asarray(value, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name = self.new_name("constant")
            self.initializers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    def add(self, kind: str, *inputs: Value | None, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or a list of them where there are several. None: an absent input."""
        names = ["" if value is None else self.name(value) for value in inputs]
        made = [self.new_name(kind.lower()) for _ in range(outputs)]
        given = {key: value for key, value in attributes.items() if value != []}
        self.nodes.append(helper.make_node(kind, names, made, **given))
        return made if outputs > 1 else made[0]

    def batch(self) -> str:
        """The number of clips, (1,) int64."""
        if self._outer is not None:
            return self._outer.batch()
        if self._batch is None:
            self._batch = self.add("Shape", self._batch_input, start=0, end=1)
        return self._batch

    def multiple(self, size: Any) -> int | None:
        """k where a dimension is k times the number of clips; None where it is a plain number.

        Raises:
          NotImplementedError: it depends on it otherwise.
        """
        if isinstance(size, (int, np.integer)):
            return None
        factor = size // self.clips
        if not isinstance(factor, int):
            raise NotImplementedError(f"a dimension of {size}")
        return factor

    def sizes(self, shape: Sequence[Any]) -> Value:
        """A shape as int64, known where it does not depend on the number of clips."""
        if all(self.multiple(size) is None for size in shape):
            return np.asarray(shape, np.int64)
        parts: list[Value] = []
        for size in shape:
            factor = self.multiple(size)
            if factor is None:
                parts.append(np.asarray([int(size)], np.int64))
            else:
                parts.append(self.batch() if factor == 1 else self.add("Mul", self.batch(), np.asarray([factor])))
        return self.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def reshape(self, x: Value, shape: Sequence[Any]) -> Value:
        """The free size is left to the runtime where there is one alone."""
        free = [self.multiple(size) is not None for size in shape]
        if sum(free) <= 1 and 0 not in [size for size in shape if isinstance(size, int)]:
            target: Value = np.asarray(
                [-1 if is_free else int(size) for is_free, size in zip(free, shape, strict=True)]
            )
        else:
            target = self.sizes(shape)
        return self.add("Reshape", x, target)


def needed(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that outputs depend on, in their order, and all names that they read."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(node)
        wanted.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                inner = attribute.g
                wanted.update(name for each in inner.node for name in each.input)
                wanted.update(output.name for output in inner.output)
    return kept[::-1], wanted
