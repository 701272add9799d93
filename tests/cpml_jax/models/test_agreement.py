"""The map of agreement: it sees where a face has no pulse, and does not see the pulse's phase."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.models.agreement import Agreement, band_basis
from cpml_jax.models.cpml import build
from cpml_jax.models.fusion import Fusion
from cpml_jax.models.physformer import PhysFormer, normalise

T, SIZE, GRID = 128, 8, 4
COLOUR = np.array([0.45, 1.0, 0.6])  # of a pulse


def pulsing(phase: float, hole: bool) -> tuple[jnp.ndarray, np.ndarray]:
    """A clip (1, T, 8, 8, 3) of skin whose inner 4x4 pixels have no pulse if there is a hole; and its wave (1, T)."""
    wave = np.sin(2 * np.pi * 1.2 * np.arange(T) / 30 + phase)
    strength = np.ones((SIZE, SIZE))
    strength[2:6, 2:6] = not hole
    noise = np.random.default_rng(0).normal(0, 0.001, (T, SIZE, SIZE, 3))
    frames = 120 * (1 + 0.01 * wave[:, None, None, None] * strength[..., None] * COLOUR + noise)
    return normalise(frames[None], "temporal"), wave[None]


def agreement(clip, wave) -> np.ndarray:
    module = Agreement(GRID)
    variables = module.init(jax.random.key(0), clip, jnp.asarray(wave))
    return np.asarray(module.apply(variables, clip, jnp.asarray(wave))).reshape(GRID, GRID)


def test_the_map_shows_where_the_pulse_is_missing():
    whole, holed = (agreement(*pulsing(0.3, hole)) for hole in (False, True))
    assert np.abs(whole).max() < 0.05, "every region agrees alike: nothing stands out"
    inner, rim = holed[1:3, 1:3], holed[[0, -1]]
    assert inner.max() < -0.3 and rim.min() > 0.1 and abs(holed.mean()) < 1e-6


def test_the_map_does_not_know_the_phase():
    np.testing.assert_allclose(agreement(*pulsing(0.3, False)), agreement(*pulsing(1.9, False)), atol=0.1)


def test_the_map_reads_neither_what_is_outside_the_band_nor_the_wave_s_strength():
    clip, wave = pulsing(0.3, False)
    slow = np.sin(2 * np.pi * 0.234375 * np.arange(T) / 30)  # one period of the clip
    np.testing.assert_allclose(
        agreement(clip + 3 * slow[:, None, None, None], 5 * wave), agreement(clip, wave), atol=0.1
    )


def test_a_still_clip_has_a_finite_gradient():
    module, still, wave = Agreement(GRID), jnp.zeros((1, T, SIZE, SIZE, 3)), jnp.zeros((1, T))
    variables = module.init(jax.random.key(0), still, wave)
    gradient = jax.grad(lambda v, x, w: module.apply(v, x, w).sum(), argnums=(0, 1, 2))(variables, still, wave)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("length", [16, 128, 160])
def test_the_basis_spans_the_band(length):
    basis = band_basis(length)
    spectrum = np.abs(np.fft.rfft(basis, axis=0))
    peaks = np.fft.rfftfreq(length, 1 / 30)[spectrum.argmax(axis=0)]
    assert basis.shape[0] == length and basis.shape[1] % 2 == 0
    assert (peaks >= 0.6 - 1e-6).all() and (peaks <= 4 + 1e-6).all()


def test_the_paper_s_model_has_no_map():
    frames = jnp.zeros((1, 16, 16, 16, 3), jnp.uint8)
    settings = tiny.tiny_config().model.rppg.to_dict()
    settings.pop("weights")
    for regions in (0, 8):
        module = PhysFormer(**settings | {"agreement": regions})
        variables = module.init(jax.random.key(0), frames, train=False, method="encode")
        seen = module.apply(variables, frames, train=False, method="encode")[2]
        assert ("agreement_map" in variables["params"]) == bool(regions)
        assert seen is None if regions == 0 else seen.shape == (1, regions * regions)


def test_the_fusion_adds_the_map_beside_the_cross_attention():
    rng = np.random.default_rng(0)
    wave, stages = jnp.asarray(rng.normal(size=(2, 16)), jnp.float32), (jnp.ones((2, 16, 6)),) * 3
    z_land, seen = jnp.ones((2, 8)), jnp.ones((2, 12))
    module = Fusion(unified_dim=5, dropout=0.0, stage_pool="global", projection="none")
    for fused, width in (
        ({"rppg": (wave, stages, seen)}, 28),
        ({"rppg": (wave, stages, seen), "landmarks": z_land}, 28),
    ):
        u, _ = module.init_with_output(jax.random.key(0), fused, train=False)
        assert u.shape == (2, width)
        np.testing.assert_array_equal(u[:, -12:], seen)


def test_downsampled_views_have_maps_of_their_pixels():
    config = tiny.tiny_config(**{"model.rppg.agreement": 4, "model.modalities": ("rppg",), "model.head": "linear"})
    model = build(config.model.to_dict(), 0)
    inputs = {"frames": jnp.asarray(tiny.random_batch(2)["frames"])}
    variables = model.init(jax.random.key(0), inputs, None, method="init_everything")
    outputs = model.apply(variables, inputs, None, train=False, downsampled=("half",))
    assert outputs["logits"].shape == (2, 2, 2)


def test_regions_are_of_whole_pixels():
    with pytest.raises(UserError, match=r"model\.rppg\.agreement=7 must divide model\.rppg\.frame_size=16"):
        settings = tiny.tiny_config().model.rppg.to_dict()
        settings.pop("weights")
        PhysFormer(**settings | {"agreement": 7}).check()
