"""What is in memory at the fullest moment."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.compile_target import liveness
from benchmarks.compile_target.hlo import parse


def buffers(body: str, more: str = "") -> list[liveness.Buffer]:
    """At the fullest moment of a program of `body`."""
    lines = "\n".join(f"  {line.strip()}" for line in body.strip().splitlines())
    return liveness.live_at_peak(parse(f"{more}\nENTRY %main (x: f32[256]) -> f32[1] {{\n{lines}\n}}\n"))


def live(body: str, more: str = "") -> dict[str, int]:
    """{instruction: padded bytes} of `buffers`."""
    return {buffer.instruction.name: buffer.shape.padded for buffer in buffers(body, more)}


CHAIN = """
%x = f32[256]{0} parameter(0)
%a = f32[256]{0} tanh(%x)
%b = f32[512]{0} custom-call(%a)
%c = f32[128]{0} custom-call(%b)
%d = f32[64]{0} custom-call(%c)
ROOT %e = f32[1]{0} custom-call(%d)
"""


def test_a_result_is_in_memory_until_its_last_reader():
    assert live(CHAIN) == {"b": 2048, "a": 1024}
    assert live(CHAIN.replace("custom-call(%d)", "custom-call(%d, %a)")) == {"b": 2048, "a": 1024, "c": 512}


def test_views_take_nothing_and_keep_what_they_show():
    seen = CHAIN.replace("%c = ", "%v = f32[2,128]{1,0} bitcast(%a)\n%c = ").replace("call(%d)", "call(%d, %v)")
    assert live(seen) == {"b": 2048, "a": 1024, "c": 512}
    assert "v" not in live(seen)


def test_arguments_outputs_and_other_memories_do_not_count():
    assert live("%x = f32[256]{0} parameter(0)\nROOT %y = f32[256]{0} tanh(%x)") == {}
    assert live(CHAIN.replace("%b = f32[512]{0}", "%b = f32[512]{0:S(1)}")) == {"a": 1024}


def test_one_element_of_a_tuple_can_outlive_the_others():
    body = """
    %x = f32[256]{0} parameter(0)
    %pair = (f32[256]{0}, s8[4096]{0}) custom-call(%x)
    %first = f32[256]{0} get-tuple-element(%pair), index=0
    %big = f32[2048]{0} custom-call(%x)
    ROOT %e = f32[1]{0} custom-call(%first, %big)
    """
    assert [(b.instruction.name, b.shape.text) for b in buffers(body)] == [("big", "f32[2048]"), ("pair", "f32[256]")]


def test_what_is_copied_meanwhile_is_there_from_the_start_on():
    body = """
    %x = f32[256]{0} parameter(0)
    %s = (f32[256]{0}, f32[256]{0}, u32[]) copy-start(%x)
    %a = f32[512]{0} custom-call(%x)
    %t = f32[256]{0} copy-done(%s)
    ROOT %e = f32[1]{0} custom-call(%t, %a)
    """
    assert live(body) == {"a": 2048, "s": 1024}


def test_a_loops_temporaries_join_those_around_it():
    more = """
%body (p: f32[256]) -> f32[256] {
  %p = f32[256]{0} parameter(0)
  %wide = f32[1000]{0} custom-call(%p)
  ROOT %q = f32[256]{0} custom-call(%wide)
}
%condition (r: f32[256]) -> pred[] {
  %r = f32[256]{0} parameter(0)
  ROOT %go = pred[] constant(true)
}
"""
    body = """
    %x = f32[256]{0} parameter(0)
    %kept = f32[128]{0} custom-call(%x)
    %first = f32[256]{0} custom-call(%x)
    %loop = f32[256]{0} while(%first), condition=%condition, body=%body
    ROOT %e = f32[1]{0} custom-call(%loop, %kept)
    """
    assert live(body, more) == {"wide": 4000, "first": 1024, "kept": 512}


@pytest.mark.parametrize("size", [64, 200])
def test_the_compilers_own_figure_of_a_real_program(size):
    def step(x):
        a = x @ x
        b = a @ a
        c = b @ a
        return (a @ c).sum() + (b @ c).max()

    compiled = jax.jit(step).lower(jax.ShapeDtypeStruct((size, size), jnp.float32)).compile()
    square = size * size * 4
    own = liveness.total(liveness.live_at_peak(parse(compiled.as_text())))
    assert 3 * square <= own <= 4 * square + 1024
    assert own <= compiled.memory_analysis().temp_size_in_bytes * 1.05 + 1024
