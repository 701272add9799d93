"""The folded forms give the numbers and gradients of XLA's own convolutions, and of the written sum."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cpml_jax.models import convolution as C


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def same_values_and_gradients(function, *arrays):
    folded, pull_folded = jax.vjp(lambda *a: function(*a, "folded"), *arrays)
    direct, pull_direct = jax.vjp(lambda *a: function(*a, "direct"), *arrays)
    np.testing.assert_allclose(folded, direct, atol=1e-4)
    upstream = normal(*folded.shape, seed=1)
    for a, b in zip(pull_folded(upstream), pull_direct(upstream), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("kernel", [(1, 5, 5), (3, 3, 3), (3, 1, 1), (1, 3, 3)])
def test_forms_agree(kernel):
    same_values_and_gradients(C.conv3d, normal(2, 5, 6, 4, 3), normal(*kernel, 3, 4, seed=2))


def test_depthwise_forms_agree():
    same_values_and_gradients(C.depthwise3d, normal(2, 5, 4, 3, 6), normal(3, 3, 3, 6, seed=2))


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_depthwise_forms_of_images_agree_at_odd_and_even_sizes(size, stride):
    x, kernel = normal(2, 4, 7, 6), normal(size, size, 6, seed=2)

    @partial(jax.jit, static_argnums=2)
    def given(x, kernel, form):
        y, pull = jax.vjp(lambda x, k: C.depthwise2d(x, k, stride, form), x, kernel)
        return y, *pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    assert given(x, kernel, "direct")[0].shape == (2, -(-4 // stride), -(-7 // stride), 6)
    for folded, direct in zip(given(x, kernel, "folded"), given(x, kernel, "direct"), strict=True):
        np.testing.assert_allclose(folded, direct, atol=1e-4)


def test_patch_forms_agree():
    same_values_and_gradients(C.patches3d, normal(2, 8, 4, 6, 3), normal(4, 2, 3, 3, 5, seed=2))


def test_conv3d_is_the_written_sum():
    x, w = np.asarray(normal(1, 4, 5, 5, 2)), np.asarray(normal(3, 3, 3, 2, 3, seed=1))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((1, 4, 5, 5, 3))
    for t, i, j in np.ndindex(4, 5, 5):
        expected[0, t, i, j] = np.einsum("thwc,thwcd->d", padded[0, t : t + 3, i : i + 3, j : j + 3], w)
    np.testing.assert_allclose(C.conv3d(jnp.asarray(x), jnp.asarray(w)), expected, atol=1e-4)


@pytest.mark.parametrize("theta", [0.0, 0.7, 1.0])
def test_folded_temporal_difference_is_two_convolutions(theta):
    """docs/method.md: conv(x, w) - theta * conv1x1x1(x, sum over space of w[t-1] + w[t+1])."""
    x, w = normal(2, 4, 4, 4, 3), normal(3, 3, 3, 3, 5, seed=1)
    plain = C.conv3d(x, w, "direct") - theta * C.conv3d(x, (w[0] + w[2]).sum((0, 1))[None, None, None], "direct")
    np.testing.assert_allclose(C.conv3d(x, C.fold_temporal_difference(w, theta)), plain, atol=1e-4)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="folded"):
        C.conv3d(normal(1, 3, 3, 3, 2), normal(3, 3, 3, 2, 2), "fast")


DIRECT, FOLDED = "[b, 0, 1, 2, f]", "[b, 0, 1, f]"  # dimensions of 3-D and 2-D convolutions in StableHLO


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_the_platform_of_the_program_chooses_the_form_and_not_the_machine_that_traces_it(platform):
    layers = nn.Sequential([C.Conv3D(4, (3, 3, 3), theta=0.7), C.DepthwiseConv3D(), C.PatchEmbedding(4, (2, 2, 2))])

    def loss(kernel, variables, x):
        return (layers.apply(variables, C.conv3d(x, kernel)) ** 2).sum()

    kernel, x = normal(1, 5, 5, 3, 4), normal(2, 4, 4, 4, 3)
    variables = layers.init(jax.random.key(0), normal(2, 4, 4, 4, 4))
    traced = jax.jit(jax.grad(loss, (0, 1))).trace(kernel, variables, x)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    expected, other = (FOLDED, DIRECT) if platform == "cpu" else (DIRECT, FOLDED)
    assert text.count(expected) >= 4 and other not in text


def test_the_platforms_choice_is_the_named_form_to_the_bit():
    x, w = normal(2, 5, 6, 4, 3), normal(1, 5, 5, 3, 4, seed=2)
    chosen, named = (
        jax.jit(jax.value_and_grad(lambda x, w, form=form: (C.conv3d(x, w, form) ** 2).sum(), (0, 1)))(x, w)
        for form in (None, "folded")
    )
    jax.tree.map(np.testing.assert_array_equal, chosen, named)
