"""Work, traffic, collectives and memory of compiled steps."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from hlo_text import LOOP
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks.compile_target import figures, page
from benchmarks.compile_target.hlo import parse
from benchmarks.compile_target.targets import Chip

CHIP = Chip("cpu", flops=1e12, bandwidth=1e9, memory=10_000_000)
SIZE = 128


@pytest.fixture(scope="module")
def step():
    """(lowered, compiled) of a product whose rows lie on two devices, summed over both."""
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    rows, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    x = jax.ShapeDtypeStruct((2 * SIZE, SIZE), jnp.float32, sharding=rows)
    w = jax.ShapeDtypeStruct((SIZE, SIZE), jnp.float32, sharding=whole)
    lowered = jax.jit(lambda x, w: jnp.tanh(x @ w).T @ x, out_shardings=whole).lower(x, w)
    return lowered, lowered.compile()


def test_a_real_step_on_two_devices(step):
    lowered, compiled = step
    found = figures.of_compiled(compiled, lowered, CHIP, 2)
    square = SIZE * SIZE * 4
    assert found["fits"] and found["error"] is None
    assert found["memory"]["arguments"] == 2 * square and found["memory"]["outputs"] == square
    assert found["collectives"] == [{"kind": "all-reduce", "count": 1, "bytes": square}]
    assert found["flops"] == pytest.approx(4 * SIZE**3, rel=0.05), "two products, of one device"
    assert found["bytes_moved"] >= 4 * square
    assert found["arithmetic_seconds"] == found["flops"] / CHIP.flops
    assert 1 <= len(found["largest"]) <= figures.LARGEST
    assert found["largest"][0]["shape"] == f"f32[{SIZE},{SIZE}]"


def test_operations_of_the_program_before_it_is_optimised(step):
    lowered, _ = step
    assert figures.flops_of(lowered) == pytest.approx(8 * SIZE**3, rel=0.05), "of both devices"


def test_a_loops_collectives_and_traffic_count_every_time():
    program = parse(LOOP)
    assert figures.collectives(program) == [{"kind": "all-reduce", "count": 7, "bytes": 7 * 32}]
    assert figures.bytes_moved(program, "cpu") == 7 * (32 + 32)


ASYNC = """
%wrapped (p: f32[64]) -> f32[8] {
  %p = f32[64]{0} parameter(0)
  ROOT %scattered = f32[8]{0} reduce-scatter(%p), dimensions={0}
}

%fused (q: f32[8]) -> f32[64] {
  %q = f32[8]{0} parameter(0)
  ROOT %inner = f32[64]{0} all-gather(%q), dimensions={0}
}

ENTRY %main (x: f32[8]) -> f32[64] {
  %x = f32[8]{0} parameter(0)
  %gather = (f32[8]{0}, f32[64]{0}) all-gather-start(%x), dimensions={0}
  %gathered = f32[64]{0} all-gather-done(%gather)
  %sum = f32[64]{0} all-reduce-start(%gathered)
  %summed = f32[64]{0} all-reduce-done(%sum)
  %s = ((f32[64]{0}), f32[8]{0}) async-start(%summed), calls=%wrapped
  %t = f32[8]{0} async-done(%s)
  ROOT %f = f32[64]{0} fusion(%t), kind=kCustom, calls=%fused
}
"""


def test_asynchronous_wrapped_and_fused_collectives_are_seen_once():
    rows = {row["kind"]: (row["count"], row["bytes"]) for row in figures.collectives(parse(ASYNC))}
    assert rows == {"all-gather": (2, 512), "all-reduce": (1, 256), "reduce-scatter": (1, 256)}


def test_a_fusion_without_a_place_has_that_of_what_is_in_it():
    text = """
%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %m = f32[8]{0} multiply(%p, %p), metadata={op_name="jit(step)/CPML/rppg/mul"}
}

ENTRY %main (x: f32[8]) -> f32[1] {
  %x = f32[8]{0} parameter(0)
  %f = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  ROOT %r = f32[1]{0} custom-call(%f)
}
"""
    assert [(row["module"], row["bytes"]) for row in figures.largest(parse(text), "cpu")] == [("CPML/rppg", 32)]


def test_memory_counts_donated_arguments_once():
    names = ("argument", "output", "alias", "temp", "generated_code")
    stats = SimpleNamespace(**{f"{n}_size_in_bytes": v for n, v in zip(names, (100, 90, 80, 50, 5), strict=True)})
    stats.peak_memory_in_bytes = 140
    assert figures.memory_of(stats)["total"] == 100 + 90 - 80 + 50 + 5


def test_a_step_that_compiles_and_is_too_large_says_so(step):
    lowered, compiled = step
    found = figures.of_compiled(compiled, lowered, Chip("cpu", 1e12, 1e9, 1000), 2)
    assert not found["fits"] and found["error"].startswith("RESOURCE_EXHAUSTED") and "\n" not in found["error"]


def test_a_refusal_is_one_line_with_its_sizes():
    said = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (20.5G) exceeds "
        "available HBM (768M)."
    )
    found = figures.of_refused(RuntimeError(said + "\n\nA second page."), CHIP)
    assert found["error"] == said and found["memory"] == {"temporaries": int(20.5 * 2**30), "limit": 768 * 2**20}
    assert found["fits"] is False and found["flops"] is None and found["largest"] is None
    other = figures.of_refused(RuntimeError("INTERNAL: no tile"), CHIP)
    assert other["error"] == "INTERNAL: no tile" and other["memory"] is None


def test_lines_of_a_step_that_compiled_and_of_one_that_was_refused(step):
    lowered, compiled = step
    more = {"target": "t:2", "device": "D", "devices": 2, "hosts": 2, "config": "c", "step": "train"}
    more |= {"seconds_to_lower": 1.0, "seconds_to_compile": 2.0, "cpu_seconds_to_compile": 3.0}
    first, *lines = page.lines(figures.of_compiled(compiled, lowered, CHIP, 2) | more)
    assert first == "t:2 (2 x D on 2 hosts), train step of c: fits"
    assert any("1 all-reduce of 65.5 kB" in line for line in lines) and f"f32[{SIZE},{SIZE}]" in lines[-1]
    refused = list(page.lines(figures.of_refused(RuntimeError("INTERNAL: no tile"), CHIP) | more))
    assert refused[0].endswith("FAILS") and len(refused) == 2


def test_estimates_that_a_compiler_does_not_give_stay_unknown():
    given = figures.work(2e9, 3e6, 4e-3, CHIP)
    assert (given["share_of_peak"], given["memory_seconds"]) == (0.5, 3e-3)
    for nothing in (None, 0.0, -1.0):
        none = figures.work(2e9, 3e6, nothing, CHIP)
        assert none["estimate_seconds"] is None and none["share_of_peak"] is None


@pytest.mark.parametrize(("value", "text"), [(0, "0 "), (999, "999 "), (1234567, "1.23 M"), (2.36e12, "2.36 T")])
def test_amounts(value, text):
    assert page.amount(value) == text
