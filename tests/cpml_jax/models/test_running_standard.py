"""Features standardised by what training has seen."""

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax.models.running_standard import RunningStandard

MODULE = RunningStandard()


def seen(batches, variables=None):
    batches = [jnp.asarray(batch) for batch in batches]
    variables = variables or MODULE.init(jax.random.key(0), batches[0], train=False)
    for batch in batches:
        out, variables = MODULE.apply(variables, batch, train=True, mutable=["batch_stats"])
    return out, variables


def test_batches_that_were_seen_count_alike():
    """NumPy's mean and deviation of all rows together, not of the last batch; large offsets do no harm."""
    rows = jnp.asarray(np.random.default_rng(0).normal([0, 50, -3], [1, 0.1, 30], (40, 3)), jnp.float32)
    out, variables = seen(jnp.split(rows, 5))
    expected = (rows - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(MODULE.apply(variables, rows, train=False), expected, atol=3e-3)
    np.testing.assert_allclose(out, expected[-8:], atol=3e-3)  # training and evaluation give the same numbers


def test_evaluation_changes_nothing_and_a_clip_does_not_see_its_neighbours():
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(16, 4)), jnp.float32)
    _, variables = seen([rows])
    together = MODULE.apply(variables, rows, train=False)
    np.testing.assert_allclose(MODULE.apply(variables, rows[:1], train=False), together[:1], atol=1e-6)
    _, after = MODULE.apply(variables, 5 + rows, train=False, mutable=["batch_stats"])
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), variables, dict(after)))


def test_features_that_move_are_followed():
    rng = np.random.default_rng(2)
    batch = lambda centre: rng.normal(centre, 1, (64, 2)).astype(np.float32)  # noqa: E731
    _, variables = seen([batch(0.0)] * 3)
    step = jax.jit(lambda v, x: MODULE.apply(v, x, train=True, mutable=["batch_stats"])[1])
    for _ in range(600):
        variables = step(variables, batch(9.0))
    statistics = variables["batch_stats"]
    np.testing.assert_allclose(statistics["mean"], 9.0, atol=0.2)
    np.testing.assert_allclose(statistics["var"], 1.0, atol=0.5)


def test_a_number_that_never_differs_stays_finite_and_no_gradient_passes_the_statistics():
    flat = jnp.full((8, 2), 3.0)
    out, variables = seen([flat] * 4)
    assert jnp.isfinite(out).all() and jnp.abs(out).max() < 1e-3
    rows = jnp.asarray(np.random.default_rng(3).normal(size=(8, 2)).astype(np.float32))
    _, variables = seen([rows])

    def total(x):
        return MODULE.apply(variables, x, train=True, mutable=["batch_stats"])[0].sum()

    gradient = jax.grad(total)(rows)
    assert (gradient > 0).all() and jnp.abs(gradient - gradient[0]).max() < 1e-6
