"""The same movement filmed at several rates: landmarks do not tell the rate."""

import cv2
import numpy as np
import pytest
from odd.encoder import draw, encode

from benchmarks.landmarks import line
from data_prep.face import clips, landmarks
from data_prep.face.clips import FaceClip, Window
from data_prep.face.crop import CropPath

FRAMES, MOVEMENTS = 128, (0, 1, 2)
FACE = np.array([75.0, 95.0])
LINES = {15: 15.0, 24: 6.0, 25: 5.0, 30: 5.0, 50: 10.0, 60: 5.0}  # frames/s -> Hz where repeated pictures would show


def position(seed: int, times: np.ndarray) -> np.ndarray:
    """(N, 2) pixels: a head that wanders with up to 2.5 Hz."""
    rng = np.random.default_rng(seed)
    frequency, phase = np.exp(rng.uniform(np.log(0.15), np.log(2.5), (8, 1))), rng.uniform(0, 2 * np.pi, (8, 2))
    reach = 1.2 * rng.normal(size=(8, 2)) / frequency**0.7
    return (reach * np.sin(2 * np.pi * frequency * times[:, None, None] + phase)).sum(1)


def clip(tmp_path, seed: int, rate: int) -> FaceClip:
    """The face of one still picture, moved and noisy, filmed at a rate; its crop stays where it is."""
    still, noise = draw(2, target=seed % 4)[0], np.random.default_rng([seed, rate])
    pictures = []
    for x, y in position(seed, np.arange(0, FRAMES / 30 + 0.2, 1 / rate)):
        moved = cv2.warpAffine(still, np.array([[1, 0, x], [0, 1, y]]), (160, 160), borderMode=cv2.BORDER_REPLICATE)
        pictures.append(np.clip(moved + noise.normal(0, 2, moved.shape), 0, 255).astype(np.uint8))
    path = tmp_path / f"{seed}_{rate}.mp4"
    encode(path, pictures, rate=rate)
    crop = CropPath(np.full((FRAMES, 2), 80.0), 150.0, 0.05, FACE)
    made = next(clips.cut_windows(path, [Window(0, 0, 0, crop, np.ones(FRAMES, bool), 1.0)], FRAMES))
    assert isinstance(made, FaceClip)
    return made


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> dict[int, list[FaceClip]]:
    folder = tmp_path_factory.mktemp("rates")
    return {rate: [clip(folder, seed, rate) for seed in MOVEMENTS] for rate in LINES}


@pytest.mark.parametrize("rate", list(LINES))
def test_no_line_tells_the_rate(filmed, rate):
    assert np.mean([line(clip.landmarks, LINES[rate]) for clip in filmed[rate]]) < 2.4


@pytest.mark.parametrize("rate", (15, 24, 25, 50))
def test_the_statistic_sees_pictures_that_count_as_measured_when_they_are_shown(filmed, rate):
    shown = [landmarks.smooth(landmarks.fit(clip.frames, FACE)) for clip in filmed[rate]]
    assert np.mean([line(points, LINES[rate]) for points in shown]) > 3.5


@pytest.mark.parametrize("rate", list(LINES))
def test_the_movement_is_the_same_at_every_rate(filmed, rate):
    for seed, made in zip(MOVEMENTS, filmed[rate], strict=True):
        truth = np.diff(position(seed, np.arange(FRAMES) / 30), axis=0) * 128 / 150
        measured = np.diff(made.landmarks, axis=0).mean(1) * 64
        error = (measured - truth @ np.array([[np.cos(0.05), -np.sin(0.05)], [np.sin(0.05), np.cos(0.05)]]))[3:-3]
        assert np.sqrt((error**2).mean()) < 0.2 * np.sqrt((truth**2).mean())
        assert (np.abs(np.diff(made.landmarks, axis=0)).max((1, 2)) > 1e-5).all(), "a repeated value"
