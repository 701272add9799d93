import gc
import itertools
import sys
import weakref
from pathlib import Path

import av
import numpy as np
import pytest
from odd import encoder

from data_prep.video.picture import Screen, rgb_frame
from data_prep.video.reader import VideoReader

MATRICES = [
    (a, b, c, d)
    for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
    if abs(a * d - b * c) == 1 and (a == d == 0 or b == c == 0)
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_each_of_the_eight_display_matrices_puts_the_corner_where_it_says(tmp_path, matrix):
    """A white corner at the top left goes where x' = a x + c y, y' = b x + d y puts it."""
    a, b, c, d = matrix
    path = tmp_path / "a.mp4"
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:8, :8] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv444p"
        one = 1 << 16
        stream.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoReader(path) as video:
        shown = next(video.resampled())[0].rgb
    assert shown.shape == ((32, 64, 3) if a else (64, 32, 3))
    left, top = (a or c) > 0, (b or d) > 0  # of the picture, where the corner's distance along an axis stays positive
    corner = shown[slice(0, 4) if top else slice(-4, None), slice(0, 4) if left else slice(-4, None)]
    assert corner.min() > 240 and shown.mean() < 30


def pictures(count: int = 3) -> list[np.ndarray]:
    """Noise over a slope, 96 lines of 128 pixels."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 200, 128)[None, :, None]
    return [(slope + rng.uniform(0, 55, (96, 128, 3))).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_a_region_is_that_part_of_the_whole_picture(tmp_path, pix_fmt):
    """Bit for bit, whether it was converted alone or cut out of the whole."""
    path = tmp_path / "a.mkv"
    encoder.encode(path, pictures(), codec="ffv1", pix_fmt=pix_fmt)
    with VideoReader(path) as video, VideoReader(path) as again:
        for (_, one), (_, other) in zip(video.frames(), again.frames(), strict=True):
            region = one.region(34, 20, 60, 50)
            assert ("rgb" in one.__dict__) == (pix_fmt == "yuv420p10le"), "the rest was converted"
            np.testing.assert_array_equal(region, other.rgb[20:70, 34:94])
            np.testing.assert_array_equal(other.region(34, 20, 60, 50), region)
            np.testing.assert_array_equal(one.region(0, 0, 128, 96), other.rgb)
            assert one.size == (96, 128) and (one.coded is None) == (pix_fmt == "yuv420p10le")


def test_a_thumbnail_is_small_and_grey(tmp_path):
    path = tmp_path / "a.mkv"
    encoder.encode(path, pictures(), codec="ffv1", pix_fmt="yuv444p")
    with VideoReader(path) as video:
        _, picture = next(video.frames())
        thumbnail, rgb = picture.thumbnail(), picture.rgb
    assert thumbnail.shape == (32, 32) and thumbnail.dtype == np.float32
    luma = rgb.reshape(32, 3, 32, 4, 3).mean((1, 3)) @ [0.299, 0.587, 0.114]
    assert np.corrcoef(thumbnail.ravel(), luma.ravel())[0, 1] > 0.99


def test_a_frame_of_another_size_is_fitted_into_the_first_with_black_borders():
    first, wide = (rgb_frame(np.full((*size, 3), 200, np.uint8)) for size in ((64, 64), (32, 64)))
    screen = Screen(first, 1.0)
    shown = screen.show(wide)
    assert shown.shape == (64, 64, 3)
    assert (shown[16:48] == 200).all() and not shown[:16].any() and not shown[48:].any()


@pytest.mark.parametrize("aspect, size", [(2.0, (32, 128)), (0.5, (64, 64)), (50.0, (32, 64))])
def test_pixels_become_square_unless_the_file_is_mistaken(aspect, size):
    screen = Screen(rgb_frame(np.zeros((32, 64, 3), np.uint8)), aspect)
    assert (screen.height, screen.width) == size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_picture_that_was_looked_at_is_given_back(tmp_path):
    """PyAV's frame.side_data and its frame hold each other for ever: old code kept 1.4 MB of each of these frames."""
    encoder.encode(tmp_path / "a.mp4", [np.full((720, 1280, 3), 90, np.uint8)] * 60)
    held = []
    with VideoReader(tmp_path / "a.mp4") as video:
        for _, picture in video.frames():
            assert picture.rgb.shape == (720, 1280, 3)
            held.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert held[-1] - held[19] < 15e6, "40 frames are 55 MB"


def test_a_closed_reader_is_given_back_at_once(tmp_path):
    """Its decoder and frames: 270 MB of 4K video, until Python looked for objects that hold each other."""
    encoder.encode(tmp_path / "a.mp4", [np.full((64, 96, 3), 90, np.uint8)] * 8)
    gc.disable()
    try:
        with VideoReader(tmp_path / "a.mp4") as video:
            next(video.frames())
        known = weakref.ref(video)
        del video
        assert known() is None
    finally:
        gc.enable()
