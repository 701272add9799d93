"""FLIP-MCL's terms against loops over clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.losses import flip

RNG = np.random.default_rng(0)
LABEL = np.array([0, 1, 1, 0])


def cosine(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def info_nce(first, second, temperature):
    """FLIP's: over both views of all clips, softmax of cosines over everything but oneself, own other view first."""
    everything, n = [*first, *second], len(first)
    terms = []
    for i in range(2 * n):
        shares = {j: np.exp(cosine(everything[i], everything[j]) / temperature) for j in range(2 * n) if j != i}
        terms.append(-np.log(shares[(i + n) % (2 * n)] / sum(shares.values())))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_twice_the_published_mean_and_ignores_padding(temperature):
    x = RNG.normal(size=(2, 5, 8)).astype(np.float32)
    simclr = jax.jit(flip.simclr, static_argnums=2)
    np.testing.assert_allclose(simclr(x, np.ones(5), temperature), 2 * info_nce(*x, temperature), rtol=1e-4)
    some = simclr(x, np.array([1, 1, 0, 1, 0.0]), temperature)
    np.testing.assert_allclose(some, 2 * info_nce(*x[:, [0, 1, 3]], temperature), rtol=1e-4)


def test_simclr_is_least_where_views_agree_and_clips_do_not():
    apart = np.eye(4, dtype=np.float32)
    least = flip.simclr(np.stack([apart, apart]), np.ones(4), 0.1)
    assert least < flip.simclr(np.stack([apart, np.roll(apart, 1, axis=0)]), np.ones(4), 0.1)
    np.testing.assert_allclose(flip.simclr(np.ones((2, 4, 3)), np.ones(4), 0.1), 2 * np.log(7), rtol=1e-5)
    gradient = jax.grad(lambda x: flip.simclr(x, jnp.ones(4), 0.1))(jnp.zeros((2, 4, 3)))
    assert np.isfinite(gradient).all()


def test_halves_are_disjoint_equal_and_of_prompts_that_exist():
    present = jnp.asarray([[True] * 6, [True] * 5 + [False]])
    label = jnp.asarray([0, 1] * 50)
    halves = np.asarray(jax.jit(flip.prompt_halves)(jax.random.key(0), present, label))
    first, second = halves
    assert not (first & second).any()
    for chosen in halves:
        np.testing.assert_array_equal(chosen.sum(1), np.where(label == 0, 3, 2))
    assert not halves[:, label == 1, 5].any()
    # Drawn anew for every clip, and every prompt has its turn in each half.
    assert len(np.unique(first[label == 0], axis=0)) > 5
    assert halves[:, label == 0].any(axis=1).all() and halves[:, label == 1, :5].any(axis=1).all()


def test_prompt_mse_is_twice_the_mean_over_clips_of_squared_differences():
    features = RNG.normal(size=(2, 4, 8)).astype(np.float32)
    templates = RNG.normal(size=(2, 6, 8)).astype(np.float32)
    templates /= np.linalg.norm(templates, axis=-1, keepdims=True)
    halves = flip.prompt_halves(jax.random.key(1), jnp.ones((2, 6), bool), LABEL)

    def term(i):
        cosines = [cosine(features[v, i], templates[LABEL[i]][np.asarray(halves[v, i])].mean(0)) for v in range(2)]
        return (cosines[0] - cosines[1]) ** 2

    actual = jax.jit(flip.prompt_mse)(features, templates, halves, LABEL, np.ones(4))
    np.testing.assert_allclose(actual, 2 * np.mean([term(i) for i in range(4)]), rtol=1e-4)
    some = flip.prompt_mse(features, templates, halves, LABEL, np.array([1, 0, 1, 0.0]))
    np.testing.assert_allclose(some, 2 * np.mean([term(0), term(2)]), rtol=1e-4)
