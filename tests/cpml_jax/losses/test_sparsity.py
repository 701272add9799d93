"""The L1 norm of the classes' weights: a twin by finite differences of the head, and what it must not depend on."""

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax.losses.sparsity import class_weights, sparsity

RNG = np.random.default_rng(0)
KERNEL, CLASSES = RNG.normal(size=(6, 4)), RNG.normal(size=(3, 4))
UNIFIED = RNG.normal(size=(5, 2, 4)).astype(np.float32)


def params(kernel=KERNEL, tau=1.5, **more):
    return {"fusion": {"out": {"kernel": jnp.asarray(kernel, jnp.float32)}}, "tau": jnp.float32(tau), **more}


def test_numpy_twin_and_what_a_step_of_one_number_does_to_the_logits():
    weights = np.asarray(class_weights(params(), CLASSES, UNIFIED))
    unit = CLASSES / np.linalg.norm(CLASSES, axis=1, keepdims=True)
    length = np.sqrt((UNIFIED.astype(float) ** 2).sum(-1).mean())
    np.testing.assert_allclose(weights, np.exp(1.5) * KERNEL @ unit.T / length, rtol=1e-5)
    # A u of that length, at a right angle to the step: its own length does not change with the step.
    step = KERNEL[2]
    u = np.array([-step[1], step[0], 0, 0]) * length / np.hypot(step[0], step[1])
    assert abs(u @ step) < 1e-9
    logits = lambda v: np.exp(1.5) * unit @ v / np.linalg.norm(v)  # noqa: E731
    change = (logits(u + 1e-6 * step) - logits(u)) / 1e-6
    np.testing.assert_allclose(weights[2], change, rtol=1e-4)


def test_a_cosine_s_free_scale_does_not_count():
    one = sparsity(class_weights(params(), CLASSES, UNIFIED))
    other = sparsity(class_weights(params(0.1 * KERNEL), 7 * CLASSES, 0.1 * UNIFIED))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_linear_head_has_its_own_kernel():
    head = {"classifier": {"kernel": jnp.asarray(CLASSES.T, jnp.float32)}}
    weights = class_weights(params(**head), None, UNIFIED)
    np.testing.assert_allclose(weights, KERNEL @ CLASSES.T, rtol=1e-5)
    np.testing.assert_allclose(sparsity(weights), np.abs(KERNEL @ CLASSES.T).sum(), rtol=1e-5)


def test_its_gradient_takes_a_useless_number_away():
    gradient = jax.grad(lambda k: sparsity(class_weights(params(k), CLASSES, UNIFIED)))(jnp.asarray(KERNEL))
    smaller = sparsity(class_weights(params(KERNEL - 1e-2 * np.asarray(gradient)), CLASSES, UNIFIED))
    assert smaller < sparsity(class_weights(params(), CLASSES, UNIFIED)) and np.isfinite(gradient).all()
