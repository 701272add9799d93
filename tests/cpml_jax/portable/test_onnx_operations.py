"""JAX's operations as ONNX's: the same numbers by onnxruntime, for any number of clips."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import export, lax

from cpml_jax.portable.onnx_trace import model_of

K = np.random.default_rng(7).normal(size=(3, 3, 4, 8)).astype(np.float32)
W = np.random.default_rng(8).normal(size=(6, 5)).astype(np.float32)


def converted(function, shape, dtype=np.float32):
    (clips,) = export.symbolic_shape("clips")
    x = jax.ShapeDtypeStruct((clips, *shape), dtype)
    model = model_of(lambda x: {"y": function(x)}, {"x": x}, batch_name="clips")
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def scanned(x, reverse=False):
    def step(carry, piece):
        carry = 0.5 * carry + piece @ W[:, :6] @ W[:, :6].T if piece.shape[-1] == 6 else carry + piece
        return carry, (carry * 2.0, piece)

    last, (all_of_them, same) = lax.scan(step, x[:, 0] * 0.0, x.swapaxes(0, 1), reverse=reverse)
    return jnp.concatenate([last[:, None], all_of_them.swapaxes(0, 1), same.swapaxes(0, 1)], axis=1)


def convolution(x, **given):
    return lax.conv_general_dilated(x, K, dimension_numbers=("NHWC", "HWIO", "NHWC"), **given)


def spectrum(x):
    bins = jnp.fft.rfft(x, axis=1)
    return bins.real[:, 1:] - bins.imag[:, :-1]


# name -> function, shape of a clip
SAME = {
    "elementwise": (lambda x: jnp.tanh(x) * jnp.exp(-x) / (1 + x**2) - jnp.abs(x) + jax.nn.sigmoid(x), (4, 3)),
    "powers": (lambda x: x**3 + jnp.sqrt(x * x + 1) + lax.rsqrt(x * x + 1), (4, 3)),
    "elu and log1p": (lambda x: jax.nn.elu(x) + jnp.log1p(x * x) + jnp.expm1(0.1 * x), (5,)),
    "choices": (lambda x: jnp.where((x > 0) & (x != 1) | ~(x < 2), jnp.clip(x, -1, 1), jnp.minimum(x, 3)), (4,)),
    "softmax": (lambda x: jax.nn.softmax(x, axis=-1) + jax.nn.logsumexp(x, axis=1, keepdims=True), (3, 5)),
    "sums": (lambda x: x.sum((1, 3)) + x.max((1, 3)) - x.min((1, 3)) + x.prod((1, 3)) + x.mean((1, 3)), (2, 3, 2)),
    "over all but clips": (lambda x: x.reshape(x.shape[0], -1).sum(1) + jnp.cumsum(x, axis=1).sum((1, 2)), (2, 3)),
    "largest": (lambda x: jnp.argmax(x, axis=-1).astype(jnp.float32), (3, 5)),
    "clips and time together": (lambda x: (x.reshape(-1, 6) @ W).reshape(x.shape[0], 4, 5), (4, 6)),
    "product with axes in between": (lambda x: jnp.einsum("nab,bc,nac->nca", x, W, x @ W), (3, 6)),
    "product of two values": (lambda x: jnp.einsum("nab,ncb->nac", x, x[:, :2]), (3, 6)),
    "first axis contracted": (lambda x: jnp.einsum("nab,ac->nbc", x, W), (6, 3)),
    "broadcasts": (lambda x: jnp.stack([x, jnp.ones_like(x), jnp.broadcast_to(x[:, :1], x.shape)], axis=1), (4,)),
    "a constant for each clip": (lambda x: jnp.concatenate([jnp.broadcast_to(W[0], (x.shape[0], 5)), x], 1), (3,)),
    "slices": (lambda x: x[:, ::2, 1:] + x[:, 1::2, :-1] - x[:, ::-1][:, ::2, :1], (4, 3)),
    "pads": (lambda x: lax.pad(x, -7.0, ((0, 0, 0), (2, 1, 0), (-1, 2, 0))), (3, 4)),
    "pads by the edge": (lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1)), "edge"), (3, 4)),
    "places along one axis": (lambda x: x[:, :, np.array([2, 0, 0])] + x[:, 1:2, -1:], (3, 4)),
    "scattered places": (lambda x: x[:, np.array([0, 2, 1]), np.array([3, 0, 1])], (3, 4)),
    "parts": (lambda x: sum(a * i for i, a in enumerate(jnp.split(x, 3, axis=2))), (2, 6)),
    "repeats": (lambda x: jnp.tile(x, (1, 2, 3)) + jnp.repeat(jnp.repeat(x, 2, 1), 3, 2), (2, 3)),
    "loop": (scanned, (5, 6)),
    "loop from the end": (lambda x: scanned(x, reverse=True), (5, 6)),
    "convolution": (lambda x: convolution(x, window_strides=(2, 1), padding="SAME"), (7, 6, 4)),
    "convolution, dilated": (
        lambda x: convolution(x, window_strides=(1, 1), padding=((2, 0), (0, 3)), rhs_dilation=(2, 1)), (7, 6, 4)
    ),
    "convolution, in groups": (
        lambda x: convolution(x, window_strides=(1, 1), padding="VALID", feature_group_count=2), (5, 6, 8)
    ),
    "spectrum of an even length": (spectrum, (8, 3)),
    "spectrum of an odd length": (spectrum, (7, 3)),
    "resized": (lambda x: jax.image.resize(x, (x.shape[0], 7, 5), "bilinear"), (4, 6)),
    "a gradient's stop, a checkpoint, a custom rule": (
        lambda x: jax.checkpoint(lambda y: jax.nn.relu(y) + lax.stop_gradient(y))(x), (4,)
    ),
    "a platform's form": (lambda x: lax.platform_dependent(x, cpu=lambda x: x + 1, default=lambda x: x - 1), (4,)),
    "nothing at all": (lambda x: x, (4,)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_an_operation_gives_the_same_numbers(name):
    function, shape = SAME[name]
    session = converted(function, shape)
    for clips in (1, 3):
        x = np.random.default_rng(clips).normal(size=(clips, *shape)).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        expected = np.asarray(jax.jit(function)(x))
        assert y.shape == expected.shape and y.dtype == expected.dtype
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)


def test_whole_numbers_are_read_as_they_are():
    session = converted(lambda x: x.astype(jnp.float32) / 255.0, (3,), np.uint8)
    x = np.array([[0, 128, 255]], np.uint8)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x / np.float32(255), rtol=1e-6)


def test_what_depends_on_no_input_is_computed_once():
    table = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    model = model_of(
        lambda x: {"y": x @ jnp.asarray(jnp.tanh(table) @ jnp.exp(table)).at[0].add(1.0)},
        {"x": jax.ShapeDtypeStruct((export.symbolic_shape("clips")[0], 6), np.float32)},
        batch_name="clips",
    )
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Identity"] and len(model.graph.initializer) == 1


@pytest.mark.parametrize(
    "function, said",
    [
        (lambda x: jnp.sort(x, axis=1), "sort"),
        (lambda x: lax.cond(x.sum() > 0, lambda: x, lambda: -x), "branch that depends"),
        (lambda x: lax.while_loop(lambda y: y.sum() < 3, lambda y: y + 1, x), "while"),
        (lambda x: x[:, jnp.argmax(x[0])], "number of clips|indices"),
        (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1))), "padding between"),
    ],
)
def test_what_is_not_translated_is_named(function, said):
    with pytest.raises(NotImplementedError, match=said):
        converted(function, (4,))
