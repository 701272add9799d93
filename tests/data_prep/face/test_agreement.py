"""Landmarks against the detector's five points."""

import numpy as np
import pytest

from data_prep.face import agreement
from data_prep.face.crop import CropPath

RNG = np.random.default_rng(0)
PATH = CropPath(RNG.uniform(90, 110, (20, 2)), 130.0, 0.2, np.full(2, 98.0))


def landmarks() -> np.ndarray:
    points = RNG.uniform(-0.6, 0.6, (20, 68, 2))
    points[:, agreement.LEFT_EYE], points[:, agreement.RIGHT_EYE] = [-0.3, -0.2], [0.3, -0.2]
    return points


def test_points_of_the_crop_lie_where_the_crop_was_cut_out():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[118:122, 78:82] = 255  # its middle is the corner of pixels 119 and 120
    crop = PATH.crop(picture, 3)[..., 0].astype(float)
    rows, columns = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
    middle = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum() / (crop.shape[0] / 2) - 1
    actual = agreement.in_source(np.tile(middle, (20, 1, 1)), PATH)[3, 0]
    np.testing.assert_allclose(actual, [80, 120], atol=0.1)


def test_the_distance_is_in_eye_distances():
    points = agreement.in_source(landmarks(), PATH)
    five = agreement.five_of(points)
    eyes = 0.6 * 130 / 2
    given = {0: five[0], 7: five[7] + [0, 0.5 * eyes], 19: five[19]}
    measured = agreement.distances(points, given)
    assert measured == pytest.approx({0: 0.0, 7: 0.5, 19: 0.0})


def test_frames_nearest_to_a_bad_key_frame_are_bad():
    points = agreement.in_source(landmarks(), PATH)
    five = agreement.five_of(points)
    bad = {key: five[key] + (20 if key == 10 else 0) for key in (0, 5, 10, 15)}
    good = agreement.agrees(points, bad)
    assert np.flatnonzero(~good).tolist() == [8, 9, 10, 11, 12]
    assert agreement.agrees(points, {}).all(), "nothing to compare with"
