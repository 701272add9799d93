"""What training shows of stills: properties, and a twin by OpenCV."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.data import augment_stills

RNG = np.random.default_rng(0)
KEY = jax.random.key(3)
varied = jax.jit(augment_stills.varied)


def stills(clips=4, views=2, count=3, size=24):
    return RNG.integers(0, 256, (clips, views, count, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_some_stills_are_drawn_in_their_order_and_the_same_of_every_clip(count):
    numbered = np.broadcast_to(np.arange(6)[None, None, :, None, None, None], (3, 2, 6, 2, 2, 3))
    seen = set()
    for step in range(40):
        chosen = np.asarray(augment_stills.drawn(jax.random.fold_in(KEY, step), jnp.asarray(numbered), count))
        assert chosen.shape == (3, 2, count, 2, 2, 3)
        places = chosen[0, 0, :, 0, 0, 0]
        assert (np.diff(places) > 0).all()
        np.testing.assert_array_equal(chosen, np.broadcast_to(places[None, None, :, None, None, None], chosen.shape))
        seen.update(places.tolist())
    assert seen == set(range(6))


@pytest.mark.parametrize("count", [0, 3, 7])
def test_all_stills_are_seen_where_no_fewer_are_asked_for(count):
    x = stills()
    np.testing.assert_array_equal(augment_stills.drawn(KEY, jnp.asarray(x), count), x)


def test_a_clip_has_one_draw_and_every_clip_its_own():
    x = np.broadcast_to(stills(1, 1, 1), (4, 2, 3, 24, 24, 3))
    y = np.asarray(varied(KEY, x))
    assert y.dtype == np.float32 and y.shape == x.shape and y.min() >= 0 and y.max() <= 255
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1, :1], y.shape), atol=1e-3)
    assert all(np.abs(y[i] - y[j]).mean() > 1 for i in range(4) for j in range(i))
    np.testing.assert_array_equal(y, varied(KEY, x))
    assert np.abs(y - varied(jax.random.key(4), x)).mean() > 1


def test_place_and_size_stay_within_their_bounds():
    """On ramps of x and y the result is a ramp: its slope is the zoom, its middle the shift."""
    size, clips = 64, 300
    ramp = np.broadcast_to(np.linspace(60, 180, size)[None, None, None, None, :, None], (clips, 1, 1, size, size, 3))
    both = np.concatenate([ramp, ramp.swapaxes(3, 4)], axis=2)
    y = np.asarray(varied(KEY, both))[..., 0]  # (clips, 1, 2, S, S)
    across, down = y[:, 0, 0, size // 2], y[:, 0, 1, :, size // 2]
    for lines in (across, down):
        inner = slice(size // 4, -size // 4)  # the border repeats
        slopes = np.diff(lines[:, inner], axis=1)
        np.testing.assert_allclose(slopes, slopes[:, :1].repeat(slopes.shape[1], 1), atol=1e-3)
    step = 120 / (size - 1)
    lowest, highest = (augment_stills.GAIN[i] / augment_stills.ZOOM[1 - i] * step for i in (0, 1))
    slopes = np.diff(across, axis=1)[:, size // 2]
    assert lowest < slopes.min() < 1.1 * lowest and 0.9 * highest < slopes.max() < highest


def test_it_is_the_warp_and_the_colours_that_opencv_makes(monkeypatch):
    monkeypatch.setattr(augment_stills, "ZOOM", (1.25, 1.25))
    monkeypatch.setattr(augment_stills, "GAIN", (0.9, 0.9))
    monkeypatch.setattr(augment_stills, "OFFSET", 0.0)
    monkeypatch.setattr(augment_stills, "SHIFT", 0.0)
    x = cv2.GaussianBlur(stills(1, 1, 1, 32)[0, 0, 0], (0, 0), 2.0)
    middle = 15.5
    matrix = np.array([[1.25, 0, middle - 1.25 * middle], [0, 1.25, middle - 1.25 * middle]])
    warped = cv2.warpAffine(x.astype(np.float32), matrix, (32, 32), flags=cv2.INTER_LINEAR)
    mean = warped.mean(axis=(0, 1))
    actual = np.asarray(augment_stills.varied(KEY, x[None, None, None]))[0, 0, 0]
    np.testing.assert_allclose(actual, (warped - mean) * 0.9 + mean, atol=0.5)  # OpenCV's weights have 5 bits


def test_without_amounts_it_leaves_stills_as_they_are(monkeypatch):
    for name, value in {"ZOOM": (1.0, 1.0), "GAIN": (1.0, 1.0), "OFFSET": 0.0, "SHIFT": 0.0}.items():
        monkeypatch.setattr(augment_stills, name, value)
    x = stills()
    np.testing.assert_allclose(augment_stills.varied(KEY, x), x, atol=1e-3)
