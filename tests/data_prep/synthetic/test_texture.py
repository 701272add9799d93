import numpy as np
import pytest

from data_prep.synthetic import texture


def roughness(surface: np.ndarray) -> float:
    return float(np.abs(np.diff(surface, axis=1)).mean())


def test_noise_is_standardised_and_as_fine_as_its_cells():
    coarse, fine = (texture.fractal(np.random.default_rng(0), 64, (cells,), (1.0,)) for cells in (4, 32))
    for surface in (coarse, fine):
        assert surface.shape == (64, 64) and abs(surface.mean()) < 1e-5 and surface.std() == pytest.approx(1, abs=1e-4)
    assert roughness(fine) > 3 * roughness(coarse)


def test_strands_run_downwards():
    surface = texture.strands(np.random.default_rng(0), 128)
    assert surface.shape == (128, 128) and surface.std() == pytest.approx(1, abs=1e-4)
    assert roughness(surface) > 3 * roughness(surface.T)


@pytest.mark.parametrize("style", ["a", "b"])
def test_a_room_follows_from_its_seed_and_keeps_to_grey_levels(style):
    room = texture.room(3, style, 96, 0.9)
    assert room.shape == (96, 96, 3) and room.dtype == np.float32
    assert room.min() >= 4 and room.max() <= 250 and room.std() > 1
    np.testing.assert_array_equal(room, texture.room(3, style, 96, 0.9))
    assert not np.array_equal(room, texture.room(4, style, 96, 0.9))
