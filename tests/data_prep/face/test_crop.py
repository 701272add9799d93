"""The crop's path and its pixels."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from data_prep.face.crop import MARGIN, CropPath, crop_path
from data_prep.face.tracks import Track
from data_prep.video.picture import Picture, Screen


def test_side_and_angle_are_one_number_for_the_clip_and_the_centre_moves():
    rng = np.random.default_rng(0)
    centre = np.column_stack([np.linspace(50, 60, 30), np.full(30, 40.0)])
    track = Track(5, centre, 60 + rng.normal(size=(30, 2)), rng.normal(size=30) / 100, np.ones(30, bool), 0.99)
    path = crop_path(track, 10, 8)
    np.testing.assert_array_equal(path.centre, centre[10:18])
    assert path.side == MARGIN * np.median(track.size[10:18], axis=0).max()
    assert path.angle == np.median(track.angle[10:18])
    boxes = path.boxes()
    assert boxes.shape == (8, 4) and boxes.dtype == np.float32
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], path.side, rtol=1e-5)


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "rgb24"])
@pytest.mark.parametrize("height, width", [(270, 480), (181, 321)])
def test_the_face_alone_is_converted_to_the_same_bits_as_the_whole_picture(form, height, width):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    frame = VideoReformatter().reformat(av.VideoFrame.from_ndarray(noise, format="rgb24"), format=form)
    centres = np.array([(width / 2, height / 2), (3.0, 5.0), (width - 2.0, height - 4.0), (width + 30.0, -20.0)])
    for side in (40.0, 150.0, 300.0):
        path = CropPath(centres, side, 0.1, np.array([90.0, 100.0]))
        for index in range(len(centres)):
            picture, whole = Picture(frame, Screen(frame, 1.0)), Picture(frame, Screen(frame, 1.0)).rgb
            x, y, w, h = path.region(index, *picture.size)
            part = picture.region(x, y, w, h)
            np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])
            # OpenCV rounds positions to 1/32 pixel, and from another origin now and then to the next.
            crop, expected = path.crop(part, index, (x, y)).astype(int), path.crop(whole, index).astype(int)
            assert np.abs(crop - expected).max() <= 4 and (crop != expected).mean() < 0.01
