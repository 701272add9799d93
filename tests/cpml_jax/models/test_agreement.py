"""Agreement of regions and wave: it sees where a face has no pulse, or another's, and not the pulse's phase."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.models.agreement import Agreement, band_basis, in_common, starting_regions, unit
from cpml_jax.models.cpml import build
from cpml_jax.models.fusion import Fusion
from cpml_jax.models.physformer import PhysFormer, normalise

T, SIZE, GRID = 128, 16, 16
COLOUR = np.array([0.45, 1.0, 0.6])  # of a pulse
INNER = starting_regions(SIZE)[0] > 0


def wave_of(rate: float, phase: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * rate * np.arange(T) / 30 + phase)


def clip_of(rim: np.ndarray, inner: np.ndarray, shading: np.ndarray | float = 0.0, noise: float = 0.001) -> jnp.ndarray:
    """A normalised clip (1, T, 16, 16, 3): skin whose inner face has one pulse (T,), all around it another."""
    pulse = np.where(INNER, inner[:, None, None], rim[:, None, None])
    grain = np.random.default_rng(0).normal(0, noise, (T, SIZE, SIZE, 3))
    shading = np.broadcast_to(shading, (T,))[:, None, None, None]
    return normalise((120 * (1 + 0.01 * pulse[..., None] * COLOUR + grain + shading))[None], "temporal")


def agreement(clip, wave) -> np.ndarray:
    """Inner-rim, inner-wave, rim-wave, as correlations."""
    module = Agreement(GRID)
    wave = jnp.asarray(wave[None])
    variables = module.init(jax.random.key(0), clip, wave)
    return np.asarray(module.apply(variables, clip, wave))[0] / 2 + 0.5


PULSE, OTHER = wave_of(1.2), wave_of(1.7)


def test_one_pulse_agrees_everywhere():
    assert agreement(clip_of(PULSE, PULSE), PULSE).min() > 0.95


def test_an_inner_face_without_a_pulse_follows_nothing():
    # Grain, because the regions' edges are soft: without any, the little that the inner one sees of the rim is all.
    inner_rim, inner_wave, rim_wave = agreement(clip_of(PULSE, 0 * PULSE, noise=0.03), PULSE)
    assert rim_wave > 0.8 and inner_wave < rim_wave - 0.3 and inner_rim < rim_wave - 0.3


@pytest.mark.parametrize("followed", ["rim", "inner"])
def test_another_s_pulse_is_seen_whichever_the_wave_follows(followed):
    inner_rim, inner_wave, rim_wave = agreement(clip_of(PULSE, OTHER), {"rim": PULSE, "inner": OTHER}[followed])
    assert abs(inner_rim) < 0.5
    assert (rim_wave > 0.8 > 0.5 > inner_wave) if followed == "rim" else (inner_wave > 0.8 > 0.5 > rim_wave)


def test_the_phase_does_not_count():
    one, other = (agreement(clip_of(wave_of(1.2, p), wave_of(1.2, p)), wave_of(1.2, p)) for p in (0.3, 1.9))
    np.testing.assert_allclose(one, other, atol=0.05)


def test_light_on_all_colours_slow_changes_and_the_wave_s_strength_do_not_count():
    clip, seen = clip_of(PULSE, OTHER), agreement(clip_of(PULSE, OTHER), PULSE)
    slow = jnp.asarray(np.sin(2 * np.pi * 0.234375 * np.arange(T) / 30), jnp.float32)  # one period of the clip
    np.testing.assert_allclose(agreement(clip + 3 * slow[:, None, None, None], 5 * PULSE), seen, atol=0.1)
    light = 0.02 * wave_of(2.3, 1.0)  # a head that moves in the light: twice the pulse, in its band
    np.testing.assert_allclose(agreement(clip_of(PULSE, OTHER, light), PULSE), seen, atol=0.1)


def test_noise_at_other_frequencies_than_the_pulse_s_hardly_counts():
    rng = np.random.default_rng(3)
    noisy = [PULSE + 2 * wave_of(rate, phase) for rate, phase in zip((2.8, 3.4), rng.uniform(0, 6, 2), strict=True)]
    clip = clip_of(PULSE, PULSE)
    inner, rim, wave = (jnp.asarray(x @ band_basis(T))[None] for x in (PULSE, noisy[0], noisy[1]))
    plain = float((unit(rim) * unit(wave)).sum())
    weighted = in_common(*(unit(x) for x in (inner, rim, wave)))
    assert plain < 0.4 and float((weighted[1] * weighted[2]).sum()) > plain + 0.2
    assert agreement(clip, PULSE).min() > 0.95


def test_the_regions_learn():
    clip, wave = clip_of(PULSE, OTHER), jnp.asarray(PULSE[None], jnp.float32)
    module = Agreement(GRID)
    variables = module.init(jax.random.key(0), clip, wave)
    gradient = jax.grad(lambda v: module.apply(v, clip, wave)[0, 0])(variables)["params"]["regions"]
    # A rim that took in some of the inner face would agree more with it.
    assert gradient[1][INNER].mean() > 0 and np.isfinite(gradient).all()


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


def test_the_paper_s_model_compares_nothing():
    frames = jnp.zeros((1, 16, 16, 16, 3), jnp.uint8)
    settings = tiny.tiny_config().model.rppg.to_dict()
    settings.pop("weights")
    for grid in (0, 8):
        module = PhysFormer(**settings | {"agreement": grid, "input_norm": "temporal"})
        variables = module.init(jax.random.key(0), frames, train=False, method="encode")
        seen = module.apply(variables, frames, train=False, method="encode")[2]
        assert ("agreement" in variables["params"]) == bool(grid)
        assert seen is None if grid == 0 else seen.shape == (1, 3)


def test_the_fusion_adds_agreement_beside_the_cross_attention():
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
        np.testing.assert_array_equal(u[:, -12:], 3 * seen)


def test_downsampled_views_are_compared_too():
    config = tiny.tiny_config(
        **{
            "model.rppg.agreement": 4,
            "model.rppg.input_norm": "temporal",
            "model.modalities": ("rppg",),
            "model.head": "linear",
        }
    )
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


def test_colours_must_be_relative():
    with pytest.raises(
        UserError, match=r"model\.rppg\.agreement=8 needs model\.rppg\.input_norm='temporal', not 'unit'"
    ):
        settings = tiny.tiny_config().model.rppg.to_dict()
        settings.pop("weights")
        PhysFormer(**settings | {"agreement": 8, "input_norm": "unit"}).check()
