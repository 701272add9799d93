"""Heads other than the prompts."""

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax.models.heads import BatchNorm, ContrastHead


def test_batch_norm_is_of_the_rows_that_count():
    x = np.random.default_rng(0).normal(2, 3, (6, 4)).astype(np.float32)
    weight = np.array([1, 1, 0, 1, 1, 0.0])
    kept = x[weight > 0]
    variables = {"params": {"scale": jnp.full(4, 2.0), "bias": jnp.ones(4)}}
    found = BatchNorm().apply(variables, jnp.asarray(x), jnp.asarray(weight))[weight > 0]
    np.testing.assert_allclose(found, 2 * (kept - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-5) + 1, rtol=1e-4, atol=1e-4)


def test_the_contrast_head_has_flips_widths():
    shapes = jax.eval_shape(lambda: ContrastHead().init(jax.random.key(0), jnp.zeros((2, 512)), jnp.ones(2)))["params"]
    kernels = [shapes[name]["kernel"].shape for name in ("hidden_0", "hidden_1", "out")]
    assert kernels == [(512, 4096), (4096, 4096), (4096, 256)]
