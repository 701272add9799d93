"""Corruptions against what their names promise: strength, shape, seed, and the figures of the papers they come from."""

import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data_prep.conditions import corruptions
from data_prep.conditions.corruptions import PARAMETERS, corrupt

PICTURES = [name for name in PARAMETERS if name not in ("frames", "social")]  # social: test_reencode


@functools.cache
def picture() -> np.ndarray:
    """Edges, texture and a slope, as a face has."""
    y, x = np.mgrid[:96, :120]
    waves = 60 * np.sin(x / 5) * np.cos(y / 9) + 40 * ((x // 24 + y // 24) % 2) + 60 + y / 2
    return np.stack([waves, waves * 0.8, waves * 0.6 + 30], -1).clip(0, 255).astype(np.uint8)


def stream(count: int = 4):
    return iter([(k / 30, picture()) for k in range(count)])


def error(name: str, strength: int) -> float:
    changed = [p for _, p in corrupt(stream(), name, strength, "key")]
    return float(np.mean([(p.astype(float) - picture()) ** 2 for p in changed]))


@pytest.mark.parametrize("name", PICTURES)
def test_a_higher_strength_takes_more(name):
    errors = [error(name, strength) for strength in range(1, 6)]
    assert errors[0] > 0 and all(a < b for a, b in zip(errors, errors[1:], strict=False)), errors


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_key_gives_the_same_and_another_one_other_noise(name):
    first, again, other = ([p for _, p in corrupt(stream(), name, 3, key)] for key in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (name not in ("noise", "blocks"))
    assert np.array_equal(first[0], first[1]) == (name not in ("noise", "blocks")), "noise is another in every frame"


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 33), st.integers(1, 33), st.just(3))),
    st.sampled_from(PICTURES),
    st.integers(1, 5),
)
def test_any_size_keeps_its_shape_and_the_original_is_left_alone(given_picture, name, strength):
    before = given_picture.copy()
    ((time, changed),) = corrupt(iter([(0.5, given_picture)]), name, strength, "key")
    assert time == 0.5 and changed.shape == before.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(given_picture, before)


def test_every_corruption_has_five_strengths():
    assert {len(values) for values in PARAMETERS.values()} == {5} and len(PARAMETERS) == 8


@pytest.mark.parametrize("variance", PARAMETERS["noise"][:4])
def test_noise_has_its_variance(variance):
    grey = np.full((200, 200, 3), 128, np.uint8)
    changed = corruptions.noise(grey, variance, corruptions.generator("key")) / 255
    np.testing.assert_allclose(changed.var(), variance, rtol=0.03)
    np.testing.assert_allclose(changed.mean(), 128 / 255, atol=0.002)


def test_a_stronger_noise_is_the_weaker_one_enlarged():
    grey = np.full((64, 64, 3), 128, np.uint8)
    weak, strong = (next(corrupt(iter([(0, grey)]), "noise", s, "key"))[1].astype(float).ravel() for s in (1, 4))
    assert np.corrcoef(weak, strong)[0, 1] > 0.99


@pytest.mark.parametrize("window", PARAMETERS["blur"])
def test_blur_has_its_width(window):
    point = np.zeros((61, 61, 3), np.uint8)
    point[30, 30] = 255
    spread = cv2.GaussianBlur(point.astype(float)[..., 0], (window, window), window / 6)
    np.testing.assert_allclose(corruptions.blur(point, window)[..., 0], spread, atol=1)
    y, _ = np.mgrid[:61, :61] - 30
    assert np.sqrt((spread * y**2).sum() / spread.sum()) == pytest.approx(window / 6, rel=0.05)


def test_gamma_and_downscale_by_hand():
    x = picture()
    np.testing.assert_array_equal(corruptions.gamma(x, 2.0), np.round(255 * (x / 255.0) ** 2))
    flat = np.full((37, 53, 3), 90, np.uint8)
    np.testing.assert_array_equal(corruptions.downscale(flat, 5), flat)
    tiles = np.kron(np.arange(0, 160, 10, np.uint8).reshape(4, 4), np.ones((6, 6), np.uint8))[..., None].repeat(3, -1)
    middles = corruptions.downscale(tiles, 6)
    assert abs(int(middles[9, 9, 0]) - int(tiles[9, 9, 0])) <= 10, "not shifted"
    np.testing.assert_array_equal(corruptions.downscale(tiles[::-1, ::-1], 6)[::-1, ::-1], middles)


@pytest.mark.parametrize("share", PARAMETERS["blocks"])
def test_blocks_hide_their_share_and_no_more(share):
    black = np.zeros((256, 256, 3), np.uint8)
    hidden = [
        (corruptions.blocks(black, share, corruptions.generator(str(k))) == corruptions.GREY).mean() for k in range(8)
    ]
    assert 0.85 * share < np.mean(hidden) <= share * 1.01  # blocks may overlap


def test_dropped_frames_are_nested_and_the_ends_stay():
    """The others keep their time; a reader that repeats the nearest frame sees a video of the same length."""
    kept = [[t for t, _ in corrupt(iter([(k, None) for k in range(400)]), "frames", s, "key")] for s in range(1, 6)]
    for share, times in zip(PARAMETERS["frames"], kept, strict=True):
        assert times[0] == 0 and times[-1] == 399 and times == sorted(set(times))
        assert len(times) == pytest.approx(400 * (1 - share), abs=30)
    assert all(set(more) > set(less) for more, less in zip(kept, kept[1:], strict=False))
    assert [len(list(corrupt(iter([(0, None)] * n), "frames", 5, "key"))) for n in (0, 1, 2)] == [0, 1, 2]
