import numpy as np
import pytest

from data_prep.synthetic.camera import NoisePool, digitise, retouch, sharpened, shoot, sight

SIZE = 64
STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize("grain", [0.0, 0.6])
def test_noise_has_its_deviation_and_is_new_in_every_frame(grain):
    pool = NoisePool(np.random.default_rng(0), SIZE, 2.0, grain)
    frames = [pool.draw().copy() for _ in range(6)]
    assert frames[0].shape == (SIZE, SIZE, 3)
    assert np.std(frames) == pytest.approx(2.0, rel=0.05)
    assert not any(np.array_equal(one, other) for one, other in zip(frames, frames[1:], strict=False))
    neighbours = np.corrcoef(frames[0][:, :-1].ravel(), frames[0][:, 1:].ravel())[0, 1]
    assert neighbours > 0.2 if grain else abs(neighbours) < 0.05


def view(matrix=STILL, weights=((0, 0), (0, 0))):
    fields = np.ones((SIZE // 4, SIZE // 4, 2), np.float32)
    return sight(matrix, fields, np.array(weights, np.float32), SIZE, SIZE)


def test_sight_is_the_inverse_of_the_pose_and_of_the_bends():
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    np.testing.assert_allclose(view(), np.stack([column, row], -1), atol=1e-3)
    moved = view(np.array([[0.5, 0.0, 3.0], [0.0, 0.5, 1.0]]))
    np.testing.assert_allclose(moved, np.stack([2 * (column - 3), 2 * (row - 1)], -1), atol=1e-3)
    np.testing.assert_allclose(view(weights=((2.0, -1.0), (0, 0))), np.stack([column - 2, row + 1], -1), atol=1e-3)


def test_a_shot_lays_the_covered_canvas_over_the_room_under_light_and_noise():
    layer, background = np.full((SIZE, SIZE, 3), 100, np.float32), np.full((SIZE, SIZE, 3), 50, np.float32)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[:, SIZE // 2 :] = 1
    light = np.full(SIZE, 1.1, np.float32)
    light[0] = 2.0
    noise = np.full((SIZE, SIZE, 3), 3, np.float32)
    picture, coverage = shoot(layer, alpha, view(), background, light, noise)
    shown = digitise(picture)
    assert shown.dtype == np.uint8 and shown.shape == (SIZE, SIZE, 3)
    assert (shown[1:, : SIZE // 2] == 58).all() and (shown[1:, SIZE // 2 :] == 113).all()
    assert (shown[0, : SIZE // 2] == 103).all() and (shown[0, SIZE // 2 :] == 203).all()
    np.testing.assert_allclose(coverage[..., 0], alpha)
    dazzled, _ = shoot(layer, alpha, view(), background, np.full(SIZE, 9.0, np.float32), 0 * noise)
    assert digitise(dazzled).max() == 255 and digitise(-dazzled).min() == 0, "clipped, not wrapped around"


@pytest.mark.parametrize("sharpness", [0.0, 0.4, -0.5])
def test_retouching_a_shot_is_shooting_the_retouched_layer(sharpness):
    rng = np.random.default_rng(0)
    layer, background = rng.uniform(0, 200, (2, SIZE, SIZE, 3)).astype(np.float32)
    alpha, noise = np.ones((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE, 3), np.float32)
    light, change = rng.uniform(0.9, 1.1, SIZE).astype(np.float32), np.zeros((20, 24, 3), np.float32)
    change[4:-4, 4:-4] = rng.uniform(-50, 50, (12, 16, 3))
    seen = view(np.array([[0.9, 0.1, 2.3], [-0.1, 0.9, 4.6]]), ((0.4, 0.0), (0.0, -0.3)))
    picture, coverage = shoot(layer, alpha, seen, background, light, noise, sharpness)
    part = (slice(5, 60), slice(5, 60))
    forged = retouch(picture, coverage, change, (10, 16), part, seen, light, sharpness)
    layer[16:36, 10:34] += change
    np.testing.assert_allclose(forged, shoot(layer, alpha, seen, background, light, noise, sharpness)[0], atol=2e-3)


def test_a_lens_softens_or_sharpens():
    picture = np.random.default_rng(0).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    assert sharpened(picture, -0.5).std() < picture.std() < sharpened(picture, 0.4).std()
    assert sharpened(picture, 0.0) is picture
