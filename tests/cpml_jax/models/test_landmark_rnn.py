"""LRNet: torch's GRU, and noise in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import published_weights
import tiny
from flax import linen as nn

from cpml_jax.models.landmark_rnn import BidirectionalGRU, Branch, LandmarkRNN


def torch_gru(weights, x, start):
    """(N, 2 units): the last states of both directions."""
    import torch

    gru = torch.nn.GRU(x.shape[-1], start.shape[-1], batch_first=True, bidirectional=True)
    gru.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with torch.no_grad():
        _, final = gru(torch.from_numpy(x), torch.from_numpy(np.repeat(start[:, None], len(x), axis=1)))
    return np.concatenate(final.numpy(), axis=-1)


def test_gru_equals_torch(torch_numbers):
    shapes = {"weight_ih": (12, 6), "weight_hh": (12, 4), "bias_ih": (12,), "bias_hh": (12,)}
    directions = {f"{name}_l0{end}": shape for name, shape in shapes.items() for end in ("", "_reverse")}
    weights = published_weights.state(directions)

    def both(name):
        return jnp.asarray(np.stack([weights[f"{name}_l0"].T, weights[f"{name}_l0_reverse"].T]))

    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(3, 7, 6)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    params = {
        "kernel_ih": both("weight_ih"), "kernel_hh": both("weight_hh"),
        "bias_ih": both("bias_ih"), "bias_hh": both("bias_hh"), "initial_state": jnp.asarray(start),
    }  # fmt: skip
    ours = BidirectionalGRU(4).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(ours, torch_numbers("gru", torch_gru, weights, x, start), atol=1e-5)


def test_a_training_pass_is_lrnets_residual_block_with_the_same_masks():
    """LRNet's `dense` but for its last layer: dropout, a residual block with dropout inside, dropout."""
    rng = np.random.default_rng(0)
    masks = [(rng.random((3, 8)) < 0.5).astype(np.float32) * 2 for _ in range(3)]
    model = Branch(hidden=4, point_dropout=0.0, dropout=0.5, noise=0.0)
    points = rng.normal(size=(3, 7, 68, 2)).astype(np.float32)
    variables = model.init(jax.random.key(0), jnp.asarray(points), train=False)
    p = variables["params"]
    left = iter(masks)

    def with_masks(call, args, kwargs, context):
        fixed = isinstance(context.module, nn.Dropout) and context.module.rate == model.dropout
        return args[0] * next(left) if fixed else call(*args, **kwargs)

    with nn.intercept_methods(with_masks):
        ours = model.apply(variables, jnp.asarray(points), train=True, rngs={"dropout": jax.random.key(0)})
    assert next(left, None) is None

    states = BidirectionalGRU(4).apply({"params": p["gru"]}, jnp.asarray(points.reshape(3, 7, -1)))

    def linear(x, name):
        return x @ np.array(p[name]["kernel"]) + np.array(p[name]["bias"])

    x = np.array(states) * masks[0]
    block = linear(np.maximum(linear(x, "fc1"), 0) * masks[1], "fc2")
    np.testing.assert_allclose(ours, (block + x) * masks[2], atol=1e-5)


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
