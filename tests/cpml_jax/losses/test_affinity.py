"""The cross-modal alignment against a loop over pairs of modalities and over rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.losses.affinity import affinity

RNG = np.random.default_rng(0)
JITTED = jax.jit(affinity)
LABEL = np.array([0, 1, 1, 0, 1])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def sides(projected, t, label):
    """name -> (features, class) of every row: the prompts are rows too."""
    actual = {"prompts": [(f, c) for c, f in enumerate(unit(t))]}
    for name, features in projected.items():
        actual[name] = [(f, label[i]) for i, views in enumerate(unit(features)) for f in views]
    return actual


def twin(projected, t, label, temperature):
    terms = []
    for a, rows in (every := sides(projected, t, label)).items():
        for b, columns in every.items():
            if a == b:
                continue
            losses = []
            for x, of_class in rows:
                shares = np.array([np.exp(x @ y / temperature) for y, _ in columns])
                right = np.array([c == of_class for _, c in columns])
                if right.any():
                    losses.append(-np.log(shares / shares.sum())[right].mean())
            terms.append(np.mean(losses))
    return 2 * np.mean(terms)  # the count of clips


def drawn(names, views, clips=5, dim=8):
    return {name: RNG.normal(size=(clips, views, dim)).astype(np.float32) for name in names}


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("names", [("rppg",), ("rppg", "landmarks"), ("rppg", "landmarks", "visual")])
def test_twice_the_mean_over_ordered_pairs(views, names):
    projected, t = drawn(names, views), RNG.normal(size=(2, 8)).astype(np.float32)
    actual = JITTED(projected, t, LABEL, np.ones(5), 0.2)
    np.testing.assert_allclose(actual, twin(projected, t, LABEL, 0.2), rtol=1e-4)


def test_padding_rows_do_not_count():
    projected, t = drawn(("rppg", "landmarks"), 2), RNG.normal(size=(2, 8)).astype(np.float32)
    weight, kept = np.array([1, 1, 0, 1, 0.0]), [0, 1, 3]
    few = {name: x[kept] for name, x in projected.items()}
    expected = twin(few, t, LABEL[kept], 0.1)
    np.testing.assert_allclose(JITTED(projected, t, LABEL, weight, 0.1), expected, rtol=1e-4)


def test_a_class_without_clips_has_no_row_of_its_own():
    projected, t = drawn(("rppg", "landmarks"), 1), RNG.normal(size=(3, 8)).astype(np.float32)
    actual = JITTED(projected, t, LABEL, np.ones(5), 0.1)
    np.testing.assert_allclose(actual, twin(projected, t, LABEL, 0.1), rtol=1e-4)


def test_features_at_their_prompts_are_better_than_at_the_others():
    t = jnp.eye(2, 8)
    right = {"rppg": t[LABEL][:, None], "landmarks": t[LABEL][:, None]}
    wrong = {"rppg": t[1 - LABEL][:, None], "landmarks": t[LABEL][:, None]}
    assert JITTED(right, t, LABEL, jnp.ones(5), 0.1) < JITTED(wrong, t, LABEL, jnp.ones(5), 0.1) - 1
    gradient = jax.jit(jax.grad(lambda x: affinity({"rppg": x}, t, LABEL, jnp.zeros(5), 0.1)))
    assert np.isfinite(gradient(jnp.zeros((5, 1, 8)))).all()
