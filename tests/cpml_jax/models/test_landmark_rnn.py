"""LRNet: torch's GRU, and noise in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.models.landmark_rnn import BidirectionalGRU, LandmarkRNN


def test_gru_equals_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    reference = torch.nn.GRU(6, 4, batch_first=True, bidirectional=True)
    weights = {k: v.detach().numpy() for k, v in reference.named_parameters()}

    def both(name):
        return jnp.asarray(np.stack([weights[f"{name}_l0"].T, weights[f"{name}_l0_reverse"].T]))

    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(3, 7, 6)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    params = {
        "kernel_ih": both("weight_ih"), "kernel_hh": both("weight_hh"),
        "bias_ih": both("bias_ih"), "bias_hh": both("bias_hh"), "initial_state": jnp.asarray(start),
    }  # fmt: skip
    with torch.no_grad():
        _, final = reference(torch.from_numpy(x), torch.from_numpy(np.repeat(start[:, None], 3, axis=1)))
    ours = BidirectionalGRU(4).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(ours, np.concatenate(final.numpy(), axis=-1), atol=1e-5)


def test_shape_noise_and_point_dropout():
    model = LandmarkRNN(**tiny.settings("landmarks") | dict(hidden=4))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 68, 2)).astype(np.float32))
    variables = model.init(jax.random.key(0), x, train=False)
    apply = jax.jit(lambda x, key: model.apply(variables, x, train=True, rngs={"dropout": key}))
    still = model.apply(variables, x, train=False)
    assert still.shape == (2, 16)
    np.testing.assert_array_equal(still, model.apply(variables, x, train=False))
    first = apply(x, jax.random.key(1))
    np.testing.assert_array_equal(first, apply(x, jax.random.key(1)))
    assert jnp.abs(first - apply(x, jax.random.key(2))).max() > 1e-3


def test_dropped_points_vanish_whole():
    """With everything dropped the features depend on nothing: a dropped point is dropped in x, y and all frames."""
    model = LandmarkRNN(**tiny.settings("landmarks") | dict(hidden=4, point_dropout=0.5, dropout=0.0, noise=0.0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 68, 2)).astype(np.float32))
    variables = model.init(jax.random.key(0), x, train=False)

    def features(x):
        return model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(3)})[0, :8]  # positions' branch

    influence = np.abs(jax.jacrev(features)(x)[:, 0]).max(axis=0)  # (T, 68, 2)
    dropped = influence.max(axis=(0, 2)) == 0
    assert 15 < dropped.sum() < 53
    assert (influence[:, ~dropped] > 0).all()


def test_units_that_remember_feel_the_first_frame_at_the_last():
    """What a change in the forward direction's first frame does to the final state, 40 frames later."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 40, 6)).astype(np.float32))

    def influence(memory):
        model = BidirectionalGRU(32, memory)
        variables = model.init(jax.random.key(0), x)
        jacobian = jax.jacrev(lambda x: model.apply(variables, x)[0, :32])(x)
        return float(jnp.abs(jacobian[:, 0, 0]).mean())

    assert influence(60.0) > 100 * influence(0.0)
