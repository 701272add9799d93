"""Bytes of shapes in XLA's text, with the padding of their tiles."""

import pytest

from benchmarks.compile_target.shapes import bits_of, parse_shape


@pytest.mark.parametrize(
    ("text", "elements", "padded"),
    [
        ("f32[4,256]{1,0}", 4096, 4096),
        ("bf16[4,256]{1,0:T(8,128)(2,1)}", 2048, 4096),  # 4 rows fill 8
        ("f32[16,100,3]{2,1,0:T(8,128)}", 19200, 16 * 104 * 128 * 4),  # 3 channels fill 128 lanes
        ("f32[16,100,3]{0,1,2:T(8,128)}", 19200, 3 * 104 * 128 * 4),  # the order of the layout decides what is padded
        ("pred[5]{0:T(512)(128)(4,1)}", 5, 512),
        ("bf16[1,300]{1,0:T(1,128)(2,1)}", 600, 2 * 384 * 2),  # pairs of rows share a word
        ("f32[3]{0:T(8,128)}", 12, 8 * 128 * 4),  # a tile with more sizes than the array
        ("f32[]{:T(128)}", 4, 512),
        ("f8e4m3fn[10]{0}", 10, 10),
        ("s4[10]{0}", 5, 5),
        ("f32[<=8,2]{1,0}", 64, 64),  # at most
        ("f32[0,128]{1,0}", 0, 0),
        ("token[]", 0, 0),
        ("opaque[]", 0, 0),
    ],
)
def test_bytes(text, elements, padded):
    shape = parse_shape(text)
    assert (shape.bytes, shape.padded, shape.space) == (elements, padded, 0)
    assert shape.arrays == (shape,)


def test_a_tuple_is_its_arrays_wherever_they_are():
    shape = parse_shape("(f32[2]{0:T(256)S(1)}, (), /*index=2*/(u32[]{:S(2)}, bf16[4,4]{0,1}))")
    assert [(a.text, a.space) for a in shape.arrays] == [("f32[2]", 1), ("u32[]", 2), ("bf16[4,4]", 0)]
    assert shape.bytes == 0 and sum(a.bytes for a in shape.arrays) == 8 + 4 + 32


def test_what_is_no_shape_is_refused():
    with pytest.raises(ValueError, match="no shape"):
        parse_shape("%name")


def test_bits():
    assert [bits_of(dtype) for dtype in ("pred", "bf16", "c64", "u2", "token")] == [8, 16, 64, 2, 0]
