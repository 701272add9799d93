import numpy as np
import pytest

from data_prep.synthetic.camera import NoisePool, shoot

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


def test_a_shot_lays_the_covered_canvas_over_the_room_under_light_and_noise():
    layer, background = np.full((SIZE, SIZE, 3), 100, np.float32), np.full((SIZE, SIZE, 3), 50, np.float32)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[:, SIZE // 2 :] = 1
    picture = shoot(layer, alpha, STILL, background, 1.1, np.full((SIZE, SIZE, 3), 3, np.float32))
    assert picture.dtype == np.uint8 and picture.shape == (SIZE, SIZE, 3)
    assert (picture[:, : SIZE // 2] == 58).all() and (picture[:, SIZE // 2 :] == 113).all()
    dazzled = shoot(layer, alpha, STILL, background, 9.0, np.zeros((SIZE, SIZE, 3), np.float32))
    assert dazzled.max() == 255, "clipped, not wrapped around"
