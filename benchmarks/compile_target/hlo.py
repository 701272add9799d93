"""XLA's text of an optimised, scheduled program -> its computations and their instructions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from benchmarks.compile_target.shapes import Shape, parse_shape

_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"(calls|body|condition|to_apply|true_computation|false_computation|branch_computations)=")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_PLACE = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in the program.
      shape: of the result.
      opcode: as XLA writes it: fusion, all-reduce-start, custom-call, ...
      operands: names.
      called: kind (calls, body, condition, to_apply, ...) and name of each computation that it names.
      attributes: what follows the operands.
      root: whether its result is the computation's.
    """

    name: str
    shape: Shape
    opcode: str
    operands: tuple[str, ...]
    called: tuple[tuple[str, str], ...]
    attributes: str
    root: bool = False

    @property
    def place(self) -> str:
        """Where the source program asked for it: jit(step)/Module/.../primitive; "" where XLA does not say."""
        found = _PLACE.search(self.attributes)
        return found[1] if found else ""

    @property
    def trips(self) -> int:
        """How often a loop's body runs; 1 where the compiler does not know, or of what is no loop."""
        found = _TRIPS.search(self.attributes)
        return int(found[1]) if found else 1


@dataclasses.dataclass(frozen=True)
class Program:
    """Computations by name, each in the order in which it is executed, and the name of the one that is the program."""

    computations: Mapping[str, tuple[Instruction, ...]]
    entry: str

    def executed(self, fused: bool = False) -> Iterator[tuple[Instruction, int]]:
        """Every instruction that runs by itself, and how often (loops of unknown length: once).

        Args:
          fused: also those inside fusions and reductions.
        """
        yield from self._of(self.entry, 1, fused)

    def _of(self, name: str, times: int, fused: bool) -> Iterator[tuple[Instruction, int]]:
        for instruction in self.computations[name]:
            yield instruction, times
            for called in [name for _, name in instruction.called] if fused else control_flow(instruction):
                yield from self._of(called, times * instruction.trips, fused)


def control_flow(instruction: Instruction) -> tuple[str, ...]:
    """Names of the computations that an instruction runs as programs: bodies, branches, what runs asynchronously.

    What a fusion or a reduction names is part of one kernel.
    """
    if instruction.opcode in ("while", "conditional", "call", "async-start"):
        return tuple(name for _, name in instruction.called)
    return ()


def parse(text: str) -> Program:
    """The program of `compiled.as_text()`.

    Raises:
      ValueError: there is no entry computation.
    """
    computations: dict[str, tuple[Instruction, ...]] = {}
    entry, name, lines = "", "", []
    for line in text.splitlines():
        header = None if line.startswith(" ") else _HEADER.match(line)
        if header:
            name, lines = header[2], []
            entry = name if header[1] else entry
        elif line.startswith("}"):
            computations[name] = tuple(lines)
        elif " = " in line and line.startswith("  "):
            lines.append(parse_instruction(line))
    if entry not in computations:
        raise ValueError("the text has no entry computation")
    return Program(computations, entry)


def parse_instruction(line: str) -> Instruction:
    """`  [ROOT ]%name = SHAPE opcode(operands), attributes`."""
    name, _, rest = line.strip().removeprefix("ROOT ").partition(" = ")
    end = closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    opening = rest.index("(", end)
    close = closing(rest, opening)
    attributes = rest[close:]
    return Instruction(
        name.removeprefix("%"),
        parse_shape(rest[:end]),
        rest[end:opening].strip(),
        tuple(_NAME.findall(rest[opening:close])),
        tuple(_called(attributes)),
        attributes,
        line.lstrip().startswith("ROOT "),
    )


def _called(attributes: str) -> Iterator[tuple[str, str]]:
    for found in _CALLED.finditer(attributes):
        rest = attributes[found.end() :]
        names = rest[: rest.index("}")] if rest.startswith("{") else rest.split(",", 1)[0]
        yield from ((found[1], name) for name in _NAME.findall(names))


def closing(text: str, opening: int) -> int:
    """Index after the parenthesis that closes the one at `opening`."""
    depth = 0
    for found in re.finditer(r"[()]", text[opening:]):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return opening + found.end()
    raise ValueError(f"no closing parenthesis in {text[:200]!r}")


def module_of(place: str) -> str:
    """The module that a place is in, with "backward" where it belongs to a gradient; "" of what no module asked for.

    jit(step)/transpose(jvp(CPML))/rppg/conv/mul -> "CPML/rppg/conv, backward": the last part is the primitive, and a
    part of its own in jit(...) a function; which branch a platform takes is no module.
    """
    path = re.sub(r"cond/branch_\d+_fun/", "", place)
    parts = [part for part in path.split("/")[:-1] if not re.match(r"p?jit\(", part)]
    names = [re.sub(r"^(?:\w+\()*|\)*$", "", part) for part in parts]
    path = "/".join(name for name in names if name)
    return f"{path}, backward" if path and "transpose(" in place else path
