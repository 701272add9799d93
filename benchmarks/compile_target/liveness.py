"""Which results of a scheduled program are in memory at its fullest moment: an estimate, from its text alone.

The compiler's own assignment is not in the text: it also shares buffers between an operand and a result of the same
shape, and packs what lives at different times. So the sum is near its figure, not equal; the largest entries are those
that it would name.
"""

from __future__ import annotations

import dataclasses

from benchmarks.compile_target.hlo import Instruction, Program, control_flow
from benchmarks.compile_target.shapes import Shape

# Results that are no new memory: views of operands, the program's arguments and constants.
_VIEWS = ("bitcast", "tuple", "get-tuple-element", "optimization-barrier", "while", "async-update", "add-dependency")
_GIVEN = ("parameter", "constant", "partition-id", "replica-id", "after-all")


@dataclasses.dataclass(frozen=True, eq=False)
class Buffer:
    """One array in main memory that an instruction made; two of the same shape are two."""

    instruction: Instruction
    shape: Shape


# What a name stands for: buffers, in the tree of its shape; None where it is no memory of this program's own.
Value = Buffer | None | tuple


def live_at_peak(program: Program, spaces: tuple[int, ...] = (0,)) -> list[Buffer]:
    """Buffers that are live together where they take the most bytes, largest first.

    Args:
      program: scheduled, so that its order is the order of execution.
      spaces: the memory spaces that count (shapes.MAIN_MEMORY).
    """
    return _peak_of(program, program.entry, spaces)


def total(buffers: list[Buffer]) -> int:
    """Bytes with padding."""
    return sum(buffer.shape.padded for buffer in buffers)


def _peak_of(program: Program, name: str, spaces: tuple[int, ...]) -> list[Buffer]:
    instructions = program.computations[name]
    values, made = _values(instructions, spaces)
    last = {buffer: place for place, i in enumerate(instructions) for buffer in _buffers_read(i, values)}
    # What the computation returns is no temporary: an output, or what the caller's instruction made.
    returned = {buffer for i in instructions if i.root for buffer in _flat(values[i.name])}
    live: set[Buffer] = set()
    peak: list[Buffer] = []
    fullest = -1
    size = 0
    for place, instruction in enumerate(instructions):
        born = [b for b in made.get(instruction.name, ()) if b not in returned]
        live.update(born)
        size += total(born)
        inner = max((_peak_of(program, c, spaces) for c in control_flow(instruction)), key=total, default=[])
        if size + total(inner) > fullest:
            fullest, peak = size + total(inner), [*live, *inner]
        dead = [b for b in live if last.get(b, place) <= place]
        live.difference_update(dead)
        size -= total(dead)
    return sorted(peak, key=lambda b: (-b.shape.padded, b.instruction.name))


def _values(
    instructions: tuple[Instruction, ...], spaces: tuple[int, ...]
) -> tuple[dict[str, Value], dict[str, list[Buffer]]]:
    """What every name stands for, and the buffers that each instruction makes."""
    values: dict[str, Value] = {}
    made: dict[str, list[Buffer]] = {}
    done = {i.operands[0]: i for i in instructions if i.opcode.endswith("-done") and i.operands}
    for i in instructions:
        given = [values.get(name) for name in i.operands]
        if i.opcode in _GIVEN:
            value: Value = None
        elif i.opcode == "tuple":
            value = tuple(given)
        elif i.opcode == "get-tuple-element":
            value = _element(given[0], i.attributes)
        elif i.opcode in _VIEWS:
            value = given[0] if given else None
        elif i.opcode.endswith("-done"):
            value = given[0]  # made by its start, and as large as what this gives
        elif i.opcode.endswith("-start"):
            value = _new(i, done[i.name].shape if i.name in done else i.shape, spaces)
        elif i.opcode == "dynamic-update-slice" or "output_to_operand_aliasing={{}: (0" in i.attributes:
            value = given[0] if given[0] is not None else _new(i, i.shape, spaces)  # in place
        else:
            value = _new(i, i.shape, spaces)
        values[i.name] = value
        if i.opcode not in (*_GIVEN, *_VIEWS) and not i.opcode.endswith("-done"):
            made[i.name] = [b for b in _flat(value) if b.instruction is i]
    return values, made


def _element(value: Value, attributes: str) -> Value:
    if not isinstance(value, tuple):
        return value
    index = int(attributes.partition("index=")[2].split(",", 1)[0])
    return value[index]


def _new(instruction: Instruction, shape: Shape, spaces: tuple[int, ...]) -> Value:
    if shape.parts is not None:
        return tuple(_new(instruction, part, spaces) for part in shape.parts)
    return Buffer(instruction, shape) if shape.space in spaces and shape.padded else None


def _flat(value: Value) -> list[Buffer]:
    if isinstance(value, tuple):
        return [buffer for part in value for buffer in _flat(part)]
    return [] if value is None else [value]


def _buffers_read(instruction: Instruction, values: dict[str, Value]) -> list[Buffer]:
    # A view keeps nothing alive by itself: whoever reads the view does.
    if instruction.opcode in ("bitcast", "tuple", "get-tuple-element"):
        return []
    return [buffer for name in instruction.operands for buffer in _flat(values.get(name))]
