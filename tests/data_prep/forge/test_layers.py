"""Where a layer goes and what is done to its colours: region, colour, render, blend."""

import cv2
import numpy as np
import pytest
from forge_clips import person

from data_prep.forge.blend import HOW, blend
from data_prep.forge.colour import match, recoloured, shifted
from data_prep.forge.draws import Draws
from data_prep.forge.region import NAMES, POINTS, Region, alphas, draw_region
from data_prep.forge.render import sharpened, through
from data_prep.forge.shape import face_size, with_forehead

RNG = np.random.default_rng(0)
CLIP = person(0)
SHAPE = CLIP.frames.shape[1:3]
EVEN = np.zeros((POINTS, 2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feather", [0.015, 0.16])
def test_alpha_ends_at_the_face(name, feather):
    alpha = alphas(CLIP.landmarks, Region(name, 1.0, feather, 1.0, EVEN), SHAPE)
    assert alpha.dtype == np.float32 and alpha.min() == 0 and alpha.max() <= 1
    assert (alpha.max(axis=(1, 2)) > 0.5).all()
    points = with_forehead(CLIP.landmarks)
    for plane, face in zip(alpha, points, strict=True):
        hull = cv2.fillConvexPoly(
            np.zeros(SHAPE, np.uint8), cv2.convexHull(face.astype(np.float32)).round().astype(np.int32), 1
        )
        reach = 2 * round(0.03 * face_size(CLIP.landmarks)) + 3
        assert not plane[cv2.dilate(hull, np.ones((reach, reach))) == 0].any()


def test_a_soft_edge_is_softer_and_opacity_a_factor():
    hard, soft = (alphas(CLIP.landmarks, Region("hull", 1.0, f, 1.0, EVEN), SHAPE) for f in (0.015, 0.16))
    steepest = [np.abs(np.diff(a, axis=2)).max() for a in (hard, soft)]
    assert steepest[0] > 2.5 * steepest[1]
    half = alphas(CLIP.landmarks, Region("hull", 1.0, 0.015, 0.5, EVEN), SHAPE)
    np.testing.assert_allclose(half, hard / 2)


def test_a_face_over_the_border_or_outside_has_a_mask_all_the_same():
    region = Region("whole", 1.0, 0.08, 1.0, EVEN)
    over = alphas(CLIP.landmarks + np.float32([60, 0]), region, SHAPE)
    assert over.max() > 0.9 and not over[:, :, :40].any()
    assert not alphas(CLIP.landmarks + np.float32([900, 0]), region, SHAPE).any()


def test_both_sorts_of_edges_are_drawn():
    feathers = [draw_region(Draws(np.random.default_rng(seed)), {"hull": 1}).feather for seed in range(200)]
    assert min(feathers) < 0.02 and max(feathers) > 0.13 and 0.3 < np.mean(np.array(feathers) < 0.049) < 0.7


def test_matched_colours_have_the_targets_mean_and_deviation():
    target = RNG.normal([150, 110, 90], [12, 9, 8], (1, 60, 60, 3)).clip(0, 255).astype(np.uint8)
    layer = RNG.normal([120, 120, 100], [10, 10, 9], (1, 60, 60, 3)).clip(0, 255).astype(np.uint8)
    alpha = np.ones((1, 60, 60), np.float32)
    made = recoloured(layer, match(layer, target, alpha)).astype(float)
    np.testing.assert_allclose(made.mean(axis=(0, 1, 2)), target.mean(axis=(0, 1, 2)), atol=0.6)
    luma = [0.299, 0.587, 0.114]
    assert (made @ luma).std() == pytest.approx((target @ luma).std(), rel=0.03)
    np.testing.assert_allclose(match(layer, target, alpha, 0.0), np.eye(3, 4), atol=1e-9)
    np.testing.assert_array_equal(match(layer, target, 0 * alpha), np.eye(3, 4))


def test_one_colour_does_not_divide_by_its_deviation():
    flat = np.full((9, 8, 8, 3), 90, np.uint8)
    with np.errstate(all="raise"):
        made = recoloured(flat, match(flat, flat + 20, np.ones((9, 8, 8), np.float32)))
    np.testing.assert_allclose(made, 110, atol=1)


def test_a_drawn_change_of_colour_is_as_large_as_asked_for():
    grey = np.full((1, 4, 4, 3), 128, np.uint8)
    np.testing.assert_array_equal(recoloured(grey, shifted(np.random.default_rng(0), 0.0)), grey)
    changes = [recoloured(grey, shifted(np.random.default_rng(s), 0.05))[0, 0, 0] - 128.0 for s in range(200)]
    assert np.std(changes) == pytest.approx(0.05 * 128 * np.hypot(1, 0.4), rel=0.2)


def test_fewer_pixels_hold_less_detail():
    detail = [through(CLIP.frames[:1], factor, 0.0)[0].astype(float) for factor in (1.0, 0.6, 0.3)]
    contrast = [np.abs(cv2.Laplacian(picture, cv2.CV_64F)).mean() for picture in detail]
    assert contrast[0] > contrast[1] > contrast[2]
    np.testing.assert_array_equal(detail[0], CLIP.frames[0])
    sharp, soft = (np.abs(cv2.Laplacian(sharpened(CLIP.frames[0], a), cv2.CV_64F)).mean() for a in (0.5, -0.5))
    assert sharp > contrast[0] > soft


@pytest.mark.parametrize("how", HOW)
def test_where_alpha_is_nothing_nothing_changes(how):
    target, layer = RNG.integers(0, 256, (2, 3, 50, 60, 3), dtype=np.uint8)
    alpha = np.zeros((3, 50, 60), np.float32)
    alpha[0, 10:30, 15:45] = 1
    alpha[1, :, :25] = 0.4  # over the border
    made = blend(target, layer, alpha, how)
    np.testing.assert_array_equal(made[alpha == 0], target[alpha == 0])
    assert (made[0, 10:30, 15:45] != target[0, 10:30, 15:45]).any(axis=-1).mean() > 0.7
    assert (made[1, :, :25] != target[1, :, :25]).any(axis=-1).mean() > 0.7
    if how == "alpha":
        np.testing.assert_array_equal(made[0, 10:30, 15:45], layer[0, 10:30, 15:45])
        expected = target[1, :, :25] + 0.4 * (layer[1, :, :25].astype(float) - target[1, :, :25])
        np.testing.assert_allclose(made[1, :, :25], expected, atol=0.6)


def test_poisson_takes_the_targets_colours_and_the_layers_detail():
    target = np.full((1, 60, 60, 3), 150, np.uint8)
    stripes = np.where(np.arange(60) % 8 < 4, 40, 70).astype(np.uint8)
    layer = np.broadcast_to(stripes[None, None, :, None], target.shape).copy()
    alpha = np.zeros((1, 60, 60), np.float32)
    alpha[0, 12:48, 12:48] = 1
    made = blend(target, layer, alpha, "poisson")[0, 20:40, 20:40].astype(float)
    assert made.mean() == pytest.approx(150, abs=25) and np.ptp(made.mean(axis=(0, 2))) > 12
