"""LRNet: torch's GRU, and noise in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.models.landmark_rnn import RIGID, BidirectionalGRU, LandmarkRNN, in_head_frame


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


def test_the_head_frame_leaves_what_moves_in_the_face():
    rng = np.random.default_rng(0)
    shape, moves = rng.uniform(-0.5, 0.5, (68, 2)), 0.02 * rng.normal(size=(1, 9, 68, 2))
    moves[:, :, list(RIGID)] = 0.0
    face = shape + moves
    turn, size, shift = 0.3 * rng.normal(size=9), 1 + 0.1 * rng.normal(size=9), 0.2 * rng.normal(size=(9, 1, 2))
    turns = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], axis=-1).reshape(9, 2, 2)
    posed = face @ (size[:, None, None] * turns).transpose(0, 2, 1) + shift
    still, moved = (in_head_frame(jnp.asarray(x, jnp.float32)) for x in (face, posed))
    np.testing.assert_allclose(still, moves - moves.mean(axis=1, keepdims=True), atol=1e-5)
    size_of_mean = moved[..., 48, 0].std() / still[..., 48, 0].std()  # the goal is the clip's mean, not one frame
    np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), size_of_mean * np.linalg.norm(still, axis=-1), atol=2e-3)


def test_a_point_cloud_without_extent_has_a_finite_gradient():
    gradient = jax.grad(lambda x: in_head_frame(x).sum())(jnp.zeros((1, 4, 68, 2)))
    assert np.isfinite(gradient).all()
