"""What is known of a compiled step: memory, work, time, collectives, and the largest temporaries. Sizes in bytes."""

from __future__ import annotations

import re
from typing import Any

import jax

from benchmarks.compile_target import liveness
from benchmarks.compile_target.hlo import Instruction, Program, module_of, parse
from benchmarks.compile_target.shapes import MAIN_MEMORY, Shape
from benchmarks.compile_target.targets import Chip
from cpml_jax.errors import one_line

LARGEST = 10
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
# Nothing moves: names for what is there already, and control flow, whose parts are counted by themselves.
_STILL = (
    *("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "optimization-barrier", "after-all"),
    *("while", "conditional", "call", "partition-id", "replica-id", "add-dependency"),
)
# Of a TPU's compiler: "... for HLO temporaries (20.64G) exceeds available HBM (15.75G)."
_REFUSED = re.compile(r"temporaries \(([\d.]+)([KMG]?)\) exceeds available HBM \(([\d.]+)([KMG]?)\)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def of_compiled(compiled: jax.stages.Compiled, lowered: jax.stages.Lowered, chip: Chip, devices: int) -> dict[str, Any]:
    """All figures of a step that compiled; each is of one device.

    A TPU's compiler counts operations and bytes, and estimates the time. A GPU's does not: there operations are
    those of the program before it was optimised, bytes moved those of whole operands and results, the time unknown.
    """
    program = parse(compiled.as_text() or "")
    counted = compiled.cost_analysis() or {}
    flops = counted.get("flops") or flops_of(lowered) / devices
    moved = counted.get("bytes accessed") or bytes_moved(program, chip.platform)
    memory = memory_of(compiled.memory_analysis())
    error = too_large(memory["total"], chip.memory)
    return {
        "fits": error is None,
        "error": error,
        "memory": memory,
        **work(flops, moved, counted.get("optimal_seconds"), chip),
        "collectives": collectives(program),
        "largest": largest(program, chip.platform),
    }


def of_refused(error: Exception, chip: Chip) -> dict[str, Any]:
    """The same keys for a step that the compiler refused; null is what it does not say."""
    return {
        "fits": False,
        "error": one_line(Exception(str(error).strip().split("\n", 1)[0])),  # it may go on for pages
        "memory": refused_memory(str(error)),
        **work(None, None, None, chip),
        "collectives": None,
        "largest": None,
    }


def refused_memory(message: str) -> dict[str, int] | None:
    """{temporaries, limit} of a TPU compiler's refusal; None where it is about something else."""
    found = _REFUSED.search(message)
    if found is None:
        return None
    needed, limit = (int(float(number) * _UNITS[unit]) for number, unit in (found.groups()[:2], found.groups()[2:]))
    return {"temporaries": needed, "limit": limit}


def too_large(needed: int, limit: int | None) -> str | None:
    """The line for a step that compiles and cannot run; None where it can, or the compiler would have refused it."""
    if limit is None or needed <= limit:
        return None
    return f"RESOURCE_EXHAUSTED: the step takes {needed / 1e9:.3g} GB of the {limit / 1e9:.3g} GB that it may have"


def memory_of(stats: Any) -> dict[str, int]:
    """jax's memory_analysis() as plain numbers. total: what must be there at once; donated arguments count once."""
    sizes = {
        "arguments": stats.argument_size_in_bytes,
        "outputs": stats.output_size_in_bytes,
        "donated": stats.alias_size_in_bytes,
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
        "peak": stats.peak_memory_in_bytes,
    }
    added = sum(sizes[name] for name in ("arguments", "outputs", "temporaries", "code"))
    return sizes | {"total": added - sizes["donated"]}


def work(flops: float | None, moved: float | None, estimate: float | None, chip: Chip) -> dict[str, Any]:
    """Operations, bytes moved, and seconds: the compiler's estimate, and what arithmetic and memory take at least.

    share_of_peak: of the chip's operations a second, by the estimate.
    """
    arithmetic = None if flops is None else flops / chip.flops
    memory = None if moved is None else moved / chip.bandwidth
    estimate = estimate if estimate and estimate > 0 else None
    return {
        "flops": flops,
        "bytes_moved": moved,
        "estimate_seconds": estimate,
        "share_of_peak": None if estimate is None or arithmetic is None else arithmetic / estimate,
        "arithmetic_seconds": arithmetic,
        "memory_seconds": memory,
    }


def flops_of(lowered: jax.stages.Lowered) -> float:
    """Of the whole program on all devices, before the compiler changes it."""
    # What Lowered.cost_analysis does where the backend exists.
    from jax._src.lib import _jax as xla  # pyrefly: ignore

    program: Any = lowered.compiler_ir("hlo")
    return xla.hlo_module_cost_analysis(jax.devices("cpu")[0].client, program.as_hlo_module())["flops"]


def bytes_moved(program: Program, platform: str) -> int:
    """Operands and results in main memory of every kernel, whole: a kernel that reads a part of one counts too much."""
    moved = 0
    shapes = {i.name: i.shape for computation in program.computations.values() for i in computation}
    for instruction, times in program.executed():
        if instruction.opcode not in _STILL and not instruction.opcode.endswith("-done"):
            arrays = [*instruction.shape.arrays, *(a for name in instruction.operands for a in shapes[name].arrays)]
            moved += times * sum(array.padded for array in arrays if array.space in MAIN_MEMORY[platform])
    return moved


def collectives(program: Program) -> list[dict[str, Any]]:
    """[{kind, count, bytes}] by bytes: what one device sends or receives of each kind, the larger side of each."""
    totals: dict[str, list[int]] = {}
    shapes = {i.name: i.shape for computation in program.computations.values() for i in computation}
    for instruction, times in program.executed(fused=True):
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            total = totals.setdefault(kind, [0, 0])
            total[0] += times
            total[1] += times * _exchanged(instruction, [shapes[name] for name in instruction.operands])
    rows = [{"kind": kind, "count": count, "bytes": size} for kind, (count, size) in totals.items()]
    return sorted(rows, key=lambda row: (-row["bytes"], row["kind"]))


def _exchanged(instruction: Instruction, operands: list[Shape]) -> int:
    given = sum(array.bytes for shape in operands for array in shape.arrays)
    made = sum(array.bytes for array in instruction.shape.arrays)
    if instruction.opcode.endswith("-start") and made > given:
        made -= given  # an asynchronous one also hands on its operands
    return max(given, made)


def largest(program: Program, platform: str) -> list[dict[str, Any]]:
    """The LARGEST temporaries of the moment at which most is in memory, by the program's text (liveness.py)."""
    rows = []
    for buffer in liveness.live_at_peak(program, MAIN_MEMORY[platform])[:LARGEST]:
        instruction = buffer.instruction
        rows.append(
            {
                "bytes": buffer.shape.padded,
                "unpadded": buffer.shape.bytes,
                "shape": buffer.shape.text,
                "operation": instruction.name,
                "module": module_of(place_of(instruction, program)),
            }
        )
    return rows


def place_of(instruction: Instruction, program: Program) -> str:
    """instruction.place; of a fusion that has none, the last place inside it."""
    if instruction.place or instruction.opcode != "fusion":
        return instruction.place
    inside = [i.place for _, name in instruction.called for i in program.computations.get(name, ()) if i.place]
    return inside[-1] if inside else ""
