"""Landmarks: what smoothing keeps, and the units."""

import numpy as np
from odd.encoder import draw

from data_prep.face import landmarks
from data_prep.face.crop import CropPath


def test_smoothing_halves_jitter_and_keeps_a_slow_movement():
    rng = np.random.default_rng(0)
    movement = 10 * np.sin(2 * np.pi * 2.0 * np.arange(60) / 30)[:, None, None] * np.ones((60, 68, 2))  # 2 Hz
    jitter = rng.normal(size=movement.shape)
    smoothed = landmarks.smooth((movement + jitter).astype(np.float32))
    assert smoothed.dtype == np.float32
    assert np.abs(landmarks.smooth(movement.astype(np.float32)) - movement)[5:-5].max() < 0.5
    assert np.std(smoothed - movement) < 0.7 * np.std(jitter)


def test_a_clip_shorter_than_the_window_is_left_as_it_is():
    points = np.random.default_rng(0).normal(size=(landmarks.WINDOW - 1, 68, 2)).astype(np.float32)
    np.testing.assert_array_equal(landmarks.smooth(points), points)


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
