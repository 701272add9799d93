"""Landmarks: what smoothing keeps, and the units."""

import cv2
import numpy as np
import pytest
from odd.encoder import draw

from data_prep.face import landmarks
from data_prep.face.crop import CropPath


def wave(frequency: float, rate: float, seconds: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 68, 2) of all points moving by 10 pixels to and fro, and (N,) s."""
    times = np.arange(0, seconds, 1 / rate)
    return 10 * np.sin(2 * np.pi * frequency * times)[:, None, None] * np.ones((1, 68, 2)), times


def test_smoothing_removes_jitter_and_keeps_a_slow_movement():
    rng = np.random.default_rng(0)
    movement, _ = wave(2.0, 30)
    jitter = rng.normal(size=movement.shape)
    smoothed = landmarks.smooth(movement + jitter)
    assert smoothed.dtype == np.float32
    assert np.abs(landmarks.smooth(movement) - movement)[5:-5].max() < 0.5
    assert np.std(smoothed - movement) < 0.7 * np.std(jitter)
    second = [np.diff(values, 2, axis=0)[5:-5].std() for values in (landmarks.smooth(jitter), jitter)]
    assert second[0] < 0.15 * second[1], "what the deltas measure must not be jitter"


@pytest.mark.parametrize("rate", (15, 24, 25, 30, 50, 60))
def test_smoothing_keeps_the_same_movement_at_every_rate(rate):
    at = np.arange(15, 105) / 30
    for frequency, kept in ((2, 0.975), (4, 0.71), (5, 0.5)):
        movement, times = wave(frequency, rate)
        smoothed, (expected, _) = landmarks.smooth(movement, times, at), wave(frequency, 30)
        gain = np.vdot(smoothed, expected[15:105]) / np.vdot(expected[15:105], expected[15:105])
        assert abs(gain - kept) < 0.03


def test_a_hole_is_bridged_and_the_ends_do_not_run_away():
    movement, times = wave(0.5, 30)
    known = np.r_[10:50, 58:105]
    smoothed = landmarks.smooth(movement[known], times[known], times)
    assert np.abs(smoothed - movement)[10:105].max() < 0.5
    assert np.abs(smoothed).max() < 12


def test_a_very_short_clip_is_left_as_it_is():
    points = np.random.default_rng(0).normal(size=(landmarks.SHORTEST - 1, 68, 2)).astype(np.float32)
    np.testing.assert_allclose(landmarks.smooth(points), points, atol=1e-6)


def test_landmarks_follow_a_movement_of_a_tenth_of_a_pixel():
    picture = draw(2)[0]
    path = CropPath(np.full((1, 2), 80.0), 150.0, 0.0, np.array([75.0, 95.0]))
    crop, shifts = path.crop(picture, 0), np.arange(0, 3, 0.1)
    moved = [cv2.warpAffine(crop, np.array([[1, 0, x], [0, 1, 0]]), (128, 128), borderMode=1) for x in shifts]
    measured = landmarks.fit(np.stack(moved), path.face)[..., 0]
    error = measured - measured.mean(0) - (shifts - shifts.mean())[:, None]
    assert np.diff(error, 2, axis=0).std() < 0.4, "rounding to whole pixels alone would give 0.7"


def test_minus_one_is_the_left_and_upper_edge_of_the_crop():
    corners = np.array([[-0.5, -0.5], [127.5, 127.5], [63.5, 63.5], [140.0, 0.0]])
    normal = landmarks.normalise(corners)
    np.testing.assert_allclose(normal[:3], [[-1, -1], [1, 1], [0, 0]], atol=1e-6)
    assert normal[3, 0] > 1, "points outside the crop stay outside"


def test_the_points_of_a_drawn_face_are_ordered_as_ibug_has_them():
    frames = draw(8)
    path = CropPath(np.full((8, 2), 80.0), 150.0, 0.0, np.array([75.0, 95.0]))
    points = landmarks.fit(np.stack([path.crop(frame, k) for k, frame in enumerate(frames)]), path.face)
    assert points.shape == (8, 68, 2) and points.dtype == np.float32
    jaw_left, jaw_right, chin, eye_left, eye_right, mouth = points.mean(axis=0)[[0, 16, 8, 36, 45, 57]]
    assert jaw_left[0] < eye_left[0] < eye_right[0] < jaw_right[0] and eye_left[1] < mouth[1] < chin[1]
