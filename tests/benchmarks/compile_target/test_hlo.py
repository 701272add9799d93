"""XLA's text is read, made up and real."""

import jax
import jax.numpy as jnp
import pytest
from hlo_text import LOOP

from benchmarks.compile_target.hlo import closing, module_of, parse, parse_instruction


def test_a_loop_runs_its_body_as_often_as_the_compiler_knows():
    program = parse(LOOP)
    assert program.entry == "main" and set(program.computations) == {"add", "body.1", "condition.1", "main"}
    executed = [(i.name, times) for i, times in program.executed()]
    assert ("reduced", 7) in executed and ("out", 1) in executed and "sum" not in dict(executed)
    assert ("sum", 7) in [(i.name, times) for i, times in program.executed(fused=True)]
    assert [i.name for c in program.computations.values() for i in c if i.root] == ["sum", "next", "go", "out"]


def test_an_instruction_with_everything():
    line = (
        "  ROOT %fusion.2 = (f32[4,2]{1,0:T(8,128)}, u32[]{:S(2)}) fusion(%a.1, %b-c), kind=kLoop, calls=%inner.3, "
        'metadata={op_name="jit(step)/transpose(jvp(CPML))/rppg/conv/mul" stack_frame_id=3}'
    )
    instruction = parse_instruction(line)
    assert instruction.name == "fusion.2" and instruction.opcode == "fusion" and instruction.root
    assert instruction.operands == ("a.1", "b-c") and instruction.called == (("calls", "inner.3"),)
    assert instruction.place.endswith("rppg/conv/mul") and instruction.trips == 1
    assert len(instruction.shape.arrays) == 2


def test_branches_are_named_in_braces():
    line = "  %c = f32[] conditional(%p, %x, %y), branch_computations={%first, %second.1}"
    assert [name for _, name in parse_instruction(line).called] == ["first", "second.1"]


def test_text_without_a_program_and_open_parentheses_are_refused():
    with pytest.raises(ValueError, match="no entry"):
        parse("HloModule nothing\n")
    with pytest.raises(ValueError, match="parenthesis"):
        closing("(a, (b)", 0)


@pytest.mark.parametrize(
    ("place", "module"),
    [
        ("jit(train_step)/transpose(jvp(CPML))/rppg/conv/mul", "CPML/rppg/conv, backward"),
        ("jit(train_step)/jvp(CPML)/CPML.encode/rppg/stem_0/conv_general_dilated", "CPML/CPML.encode/rppg/stem_0"),
        ("jit(train_step)/jvp(CPML)/fusion/jit(relu)/max", "CPML/fusion"),
        ("jit(step)/jvp(CPML)/rppg/conv/cond/branch_0_fun/conv_general_dilated", "CPML/rppg/conv"),
        ("jit(<lambda>)/jvp()/dot_general", ""),
        ("x", ""),
        ("", ""),
    ],
)
def test_modules(place, module):
    assert module_of(place) == module


def test_a_real_program_has_its_operations_in_order():
    text = jax.jit(lambda x: jnp.tanh(x @ x) @ x).lower(jnp.ones((64, 64))).compile().as_text()
    program = parse(text)
    last = program.computations[program.entry][-1]
    assert last.shape.text == "f32[64,64]" and last.shape.bytes == 64 * 64 * 4
    names = [i.name for i in program.computations[program.entry]]
    for place, instruction in enumerate(program.computations[program.entry]):
        assert all(name in names[:place] for name in instruction.operands), "operands come before whoever reads them"
