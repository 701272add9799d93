"""Fusion against a hand-written twin, and its pools."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.models.fusion import CrossAttention, Fusion, PulseTokens

T, GRID, DIM, F = 16, 4, 6, 8


def inputs(n=3):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return normal(n, T), tuple(normal(n, T // 4 * GRID, DIM) for _ in range(3)), normal(n, F)


def test_cross_attention_against_numpy():
    series, _, z_land = inputs()
    module = CrossAttention()
    variables = module.init(jax.random.key(0), series, z_land)
    p = jax.device_get(variables["params"])
    for clip in range(3):
        z_rppg = series[clip].reshape(2, T // 2) @ p["pulse"]["kernel"] + p["pulse"]["bias"]
        keys = z_rppg @ p["keys"]["kernel"] + p["keys"]["bias"]
        query = z_land[clip] @ p["queries"]["kernel"] + p["queries"]["bias"]
        weights = np.exp(keys @ query / np.sqrt(F))
        attended = weights / weights.sum() @ z_rppg
        expected = np.outer(z_land[clip], attended).ravel()
        np.testing.assert_allclose(module.apply(variables, series, z_land)[clip], expected, atol=1e-5)


def test_the_released_wiring_is_that_of_the_authors_code():
    """The raw wave alone; keys in the order in which they lie in memory; products that are not scaled."""
    wave, stages, z_land = inputs()
    module = Fusion(5, 0.5, "flatten", "linear", wiring="released")
    fused = {"rppg": (wave, stages), "landmarks": z_land}
    variables = module.init(jax.random.key(0), fused, train=False)
    assert set(variables["params"]) == {"cross_attention", "out"}
    p = jax.device_get(variables["params"])

    def linear(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    for clip in range(3):
        z_rppg = linear(np.stack([wave[clip, : T // 2], wave[clip, T // 2 :]]), p["cross_attention"]["pulse"])
        in_memory = linear(z_rppg, p["cross_attention"]["keys"]).ravel()
        query = linear(z_land[clip], p["cross_attention"]["queries"])
        logits = np.array([sum(query[f] * in_memory[2 * f + j] for f in range(F)) for j in range(2)])
        attended = np.exp(logits) / np.exp(logits).sum() @ z_rppg
        joint = np.array([z_land[clip, f] * attended[v] for f in range(F) for v in range(2)])
        ours = module.apply(variables, fused, train=False)[clip]
        np.testing.assert_allclose(ours, linear(joint, p["out"]), atol=1e-5)


@pytest.mark.parametrize("pool, width", [("flatten", 2 * 16 * DIM), ("mean", 2 * 4 * DIM), ("global", 4 * DIM)])
def test_series_is_the_z_scored_wave_plus_a_linear_map_of_two_stages(pool, width):
    wave, stages, _ = inputs()
    module = PulseTokens(pool)
    variables = module.init(jax.random.key(0), wave, stages)
    both = jax.device_get(variables["params"])
    p = both["stages"]
    assert p["kernel"].shape == (width, T)
    last = [s.reshape(3, 4, GRID, DIM) for s in stages[1:]]
    values = {
        "flatten": [s.reshape(3, -1) for s in last],
        "mean": [s.mean(2).reshape(3, -1) for s in last],
        "global": [np.concatenate([s.mean((1, 2)), s.std(1).mean(1)], axis=-1) for s in last],
    }[pool]
    features = np.concatenate(values, axis=1)
    if pool == "global":
        features = (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)
        features = features * both["norm"]["scale"] + both["norm"]["bias"]
    scored = (wave - wave.mean(1, keepdims=True)) / wave.std(1, keepdims=True)
    expected = scored + features @ p["kernel"] + p["bias"]
    np.testing.assert_allclose(module.apply(variables, wave, stages), expected, atol=1e-4)


def test_global_pool_of_a_still_clip_has_a_finite_gradient():
    module = PulseTokens("global")
    still = jnp.ones((1, 16, DIM))
    variables = module.init(jax.random.key(0), jnp.zeros((1, T)), (still,) * 3)
    gradient = jax.grad(lambda s: module.apply(variables, jnp.zeros((1, T)), (s,) * 3).sum())(still)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("present", ["r", "l", "v", "rl", "rv", "lv", "rlv"])
def test_any_subset_gives_one_u(present):
    wave, stages, z_land = inputs()
    module = Fusion(unified_dim=5, dropout=0.5, stage_pool="flatten", projection="linear")
    every = {"rppg": (wave, stages), "landmarks": z_land, "visual": np.ones((3, 7), np.float32)}
    fused = {name: features for name, features in every.items() if name[0] in present}
    variables = module.init(jax.random.key(0), fused, train=False)
    u = module.apply(variables, fused, train=False)
    assert u.shape == (3, 5) and u.dtype == jnp.float32
    width = {"r": T, "l": F, "rl": 2 * F}.get(present.replace("v", ""), 0) + 7 * ("v" in present)
    assert variables["params"]["out"]["kernel"].shape == (width, 5)


def test_contrast_stands_beside_the_embedding_or_alone():
    z_land, embedding, contrast = inputs()[2], np.ones((3, 7), np.float32), np.full((3, 4), 2, np.float32)
    module = Fusion(unified_dim=5, dropout=0.5, stage_pool="flatten", projection="none")
    both = module.apply({}, {"landmarks": z_land, "visual": (embedding, contrast)}, train=False)
    np.testing.assert_allclose(both, np.concatenate([z_land, embedding, contrast / 2], axis=1), rtol=1e-6)
    alone = module.apply({}, {"visual": (None, contrast)}, train=False)
    np.testing.assert_allclose(alone, contrast / 2, rtol=1e-6)


def test_dropout_takes_features_and_no_measured_number():
    wave, stages, z_land = inputs()
    fused = {
        "rppg": (wave, stages, np.full((3, 3), 7, np.float32)),
        "landmarks": (z_land, np.full((3, 35), 7, np.float32)),
        "visual": (np.ones((3, 50), np.float32), np.full((3, 64), 7, np.float32)),
        "texture": np.full((3, 36), 7, np.float32),
    }
    module = Fusion(unified_dim=5, dropout=0.5, stage_pool="flatten", projection="none")
    variables = module.init(jax.random.key(0), fused, train=False)
    u = module.apply(variables, fused, train=True, rngs={"dropout": jax.random.key(1)})
    count = 3 + 35 + 64 + 36
    features, numbers = u[:, :-count], u[:, -count:]
    assert 0.3 < (features[:, -50:] == 0).mean() < 0.7
    assert (numbers != 0).all() and len(np.unique(numbers)) == 3  # each kind of number times its share
