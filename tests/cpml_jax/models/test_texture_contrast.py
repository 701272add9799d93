"""The contrast of fine texture: a NumPy twin, what it is blind to, and what it sees."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.data import augment
from cpml_jax.data.cells import cell_weights
from cpml_jax.models.texture_contrast import texture_contrast
from cpml_jax.schema import CROP_SIZE


def pictures(clips=2, stills=3, side=CROP_SIZE):
    return np.random.default_rng(0).integers(0, 255, (clips, stills, side, side, 3), dtype=np.uint8)


def read(x, grid=8, views=()):
    return np.asarray(texture_contrast(jnp.asarray(x), grid, views))


def twin(stills, grid):
    """Of (K, S, S, 3), with OpenCV's blur; grid divides S."""
    cell, kernel = stills.shape[1] // grid, np.array([0.25, 0.5, 0.25])
    logs = []
    for still in stills:
        luma = still.astype(np.float64) @ [0.299, 0.587, 0.114]
        fine = np.abs(luma - cv2.sepFilter2D(luma, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE))
        logs.append(np.log(fine.reshape(grid, cell, grid, cell).mean((1, 3)) + 0.25))
    mean = np.mean(logs, axis=0)
    return 3.0 * (mean - mean.mean()).ravel()


@pytest.mark.parametrize("grid", [4, 8, 16])
def test_against_numpy(grid):
    x = pictures()
    x[:, :, :40] //= 4
    np.testing.assert_allclose(read(x, grid), [twin(clip, grid) for clip in x], atol=1e-3)


@pytest.mark.parametrize(("side", "grid"), [(128, 12), (128, 8), (10, 4)])
def test_cells_share_the_picture_evenly(side, grid):
    weights = cell_weights(side, grid)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(0), grid / side, rtol=1e-5)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-6)


def test_contrast_of_the_whole_picture_says_nothing():
    """Twice the contrast is twice the fine part everywhere: the clip's own mean takes it away, but for the floor."""
    x = pictures().astype(np.float32)
    np.testing.assert_allclose(read(2 * x + 20), read(x), atol=0.02)
    np.testing.assert_allclose(read(x).mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(read(np.full_like(x, 90)), 0, atol=1e-5)


@pytest.mark.parametrize("grid", [8, 12])
def test_a_mirrored_clip_has_mirrored_cells(grid):
    x = pictures()
    x[..., :50, :] //= 3
    cells = read(x, grid).reshape(-1, grid, grid)
    mirrored = read(augment.mirrored_frames(jnp.asarray(x)), grid).reshape(-1, grid, grid)
    np.testing.assert_allclose(mirrored, cells[..., ::-1], atol=1e-4)
    assert np.abs(cells - cells[..., ::-1]).max() > 1


def test_a_smooth_patch_and_a_seam_show_in_their_cells_alone():
    x = pictures(clips=1).astype(np.float32)
    plain = read(x).reshape(8, 8)
    smooth, seamed = x.copy(), x.copy()
    smooth[..., 32:48, 64:80, :] = 128 + 0.2 * (x[..., 32:48, 64:80, :] - 128)
    seamed[..., 40, 65:79, :] += 400
    less, more = read(smooth).reshape(8, 8) - plain, read(seamed).reshape(8, 8) - plain
    assert less.argmin() == more.argmax() == 2 * 8 + 4
    assert less[2, 4] < -3 and more[2, 4] > 0.5
    assert np.abs(np.delete(less, 20)).max() < 0.25 and np.abs(np.delete(more, 20)).max() < 0.1


def test_a_made_view_has_lost_its_finest_texture():
    """Of a picture that is noise in one half and smooth in the other, less is left at each step down."""
    x = pictures(clips=2).astype(np.float32)
    x[..., :64, :] = np.linspace(0, 200, 64)[:, None]
    views = read(x, 8, ("half", "quarter")).reshape(2, 3, 8, 8)
    np.testing.assert_allclose(views[:, 0].reshape(2, -1), read(x), atol=1e-4)
    differences = views[..., 5:7].mean((2, 3)) - views[..., 1:3].mean((2, 3))
    assert (np.diff(differences, axis=1) < -1).all()
