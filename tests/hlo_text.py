"""A scheduled program as XLA writes it, with a loop of seven all-reduces; see benchmarks/compile_target."""

LOOP = """
HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

FileNames
1 "somewhere.py"

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body.1 (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %n = s32[] get-tuple-element(%state), index=0
  %v = f32[8]{0} get-tuple-element(%state), index=1
  %reduced = f32[8]{0} all-reduce(%v), channel_id=1, to_apply=%add, metadata={op_name="jit(step)/while/body/psum"}
  ROOT %next = (s32[], f32[8]{0}) tuple(%n, %reduced)
}

%condition.1 (state.1: (s32[], f32[8])) -> pred[] {
  %state.1 = (s32[], f32[8]{0}) parameter(0)
  ROOT %go = pred[] constant(true)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0), metadata={op_name="a \\"quoted\\" (name"}
  %zero = s32[] constant(0)
  %start = (s32[], f32[8]{0}) tuple(%zero, %x)
  %loop = (s32[], f32[8]{0}) while(%start), condition=%condition.1, body=%body.1, backend_config={"known_trip_count":{"n":"7"}}
  ROOT %out = f32[8]{0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501
