"""Means over rectangles: against a loop that is the definition, and torch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.face.mtcnn import area


def mean_by_definition(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) -> (3, height, width): pixels that a cell touches count whole."""
    rows, columns, _ = frame.shape
    made = np.empty((3, height, width), np.float32)
    for i, j in np.ndindex(height, width):
        cell = frame[
            i * rows // height : math.ceil((i + 1) * rows / height),
            j * columns // width : math.ceil((j + 1) * columns / width),
        ]
        made[:, i, j] = cell.astype(np.float64).mean((0, 1))
    return made


sizes = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 9))
def test_whole_frames(rows, columns, height, width, seed):
    frames = list(np.random.default_rng(seed).integers(0, 256, (2, rows, columns, 3), dtype=np.uint8))
    made = area.resized(area.summed(frames), height, width)
    assert made.dtype == np.float32 and made.flags.c_contiguous
    for one, frame in zip(made, frames, strict=True):
        np.testing.assert_allclose(one, mean_by_definition(frame, height, width), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, 29)] * 2, *[st.integers(1, 60)] * 2), max_size=5))
def test_crops(chosen):
    frames = np.random.default_rng(0).integers(0, 256, (2, 60, 70, 3), dtype=np.uint8)
    corners = np.array([[x, y, min(x + w, 70), min(y + h, 60)] for _, x, y, w, h in chosen], int).reshape(-1, 4)
    which = np.array([number for number, *_ in chosen], int)
    made = area.crops(area.summed(list(frames)), which, corners, 24)
    assert made.shape == (len(chosen), 3, 24, 24) and made.flags.c_contiguous
    for one, number, (x0, y0, x1, y1) in zip(made, which, corners, strict=True):
        np.testing.assert_allclose(one, mean_by_definition(frames[number, y0:y1, x0:x1], 24, 24), rtol=1e-6)


def test_sums_of_the_largest_frame_do_not_overflow():
    white = np.full((2304, 3640, 3), 255, np.uint8)  # 2^23 pixels
    assert (area.resized(area.summed([white]), 3, 5) == 255).all()


@pytest.mark.torch
def test_the_same_bits_as_torchs_area_interpolation():
    import torch

    frames = np.random.default_rng(0).integers(0, 256, (2, 97, 131, 3), dtype=np.uint8)
    theirs = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    for size in ((13, 17), (97, 131), (50, 200), (24, 24), (48, 48)):
        resized = torch.nn.functional.interpolate(theirs, size=size, mode="area").numpy()
        np.testing.assert_array_equal(area.resized(area.summed(list(frames)), *size), resized)
