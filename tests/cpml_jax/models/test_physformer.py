"""PhysFormer: attention and PFE against hand-written twins, shapes at full size, and input that must not hurt."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import linen as nn

from cpml_jax.errors import UserError
from cpml_jax.models import physformer_blocks
from cpml_jax.models.attention import attend
from cpml_jax.models.convolution import FORMS
from cpml_jax.models.physformer import TEMPORAL_LIMIT, PhysFormer, normalise
from cpml_jax.models.resolution import PFE, ResolutionViews

SMALL = tiny.settings("rppg") | dict(
    frame_size=16, stem=(4, 8), patch=(4, 2, 2), dim=8, ff_dim=12, heads=2, blocks=3, input_norm="temporal"
)


def frames(n=2, t=16, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 255, (n, t, 16, 16, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def small():
    model = PhysFormer(**SMALL)
    return model, jax.jit(lambda: model.init(jax.random.key(0), frames(1), train=False, downsampled=("half",)))()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def plain_attention(q, k, v, mask, *, heads, temperature):
    n, length, dim = q.shape
    q, k, v = (a.reshape(n, length, heads, dim // heads) for a in (q, k, v))
    weights = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", q, k) / temperature, axis=-1) * mask
    return jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, length, dim)


def test_attention_and_its_gradient_are_the_plain_ones():
    rng = np.random.default_rng(0)
    q, k, v, upstream = (jnp.asarray(rng.normal(size=(4, 6, 8)).astype(np.float32)) * 2 for _ in range(4))
    keep = jnp.asarray(rng.integers(0, 2, (2, 2, 6, 6)), bool)
    mask = jnp.repeat(keep / 0.5, 2, axis=0)  # the views of a clip share its masks, one for each head
    settings = dict(heads=2, temperature=2.0)
    ours, pull = jax.vjp(lambda *a: attend(*a, keep, kept_share=0.5, **settings), q, k, v)
    plain, pull_plain = jax.vjp(lambda *a: plain_attention(*a, mask, **settings), q, k, v)
    np.testing.assert_allclose(ours, plain, atol=1e-5)
    for a, b in zip(pull(upstream), pull_plain(upstream), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_attention_against_numpy():
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(1, 5, 6)).astype(np.float32) for _ in range(3))
    expected = np.concatenate(
        [softmax(q[0][:, s] @ k[0][:, s].T / 3.0) @ v[0][:, s] for s in (slice(0, 3), slice(3, 6))], axis=-1
    )
    ours = attend(*map(jnp.asarray, (q, k, v)), heads=2, temperature=3.0)
    np.testing.assert_allclose(ours[0], expected, atol=1e-5)


@pytest.mark.parametrize(("downsampled", "recorded"), [((), 1), ((), 2), (("half", "quarter"), 1)])
def test_attention_drops_by_clip_and_head(small, monkeypatch, downsampled, recorded):
    model, variables = small
    drawn = []

    def spied(q, k, v, keep, **settings):
        drawn.append(np.asarray(keep))
        return attend(q, k, v, keep, **settings)

    monkeypatch.setattr(physformer_blocks, "attend", spied)
    clips = frames(2 * recorded)
    model.apply(
        variables, clips, train=True, downsampled=downsampled, views=recorded,
        rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"],
    )  # fmt: skip
    assert [keep.shape for keep in drawn] == [(2, 2, 16, 16)] * 3  # (clips, heads, L, L) in each block
    masks = [keep[clip, head] for keep in drawn for clip in range(2) for head in range(2)]
    assert all((a != b).any() for i, a in enumerate(masks) for b in masks[:i])
    assert np.mean(masks) == pytest.approx(0.9, abs=0.02)


def test_pfe_equals_the_mlp_at_every_high_resolution_pixel():
    """docs/method.md, Departures: the value is constant inside a low-resolution cell."""
    size, low = 8, 4
    x = np.random.default_rng(0).normal(size=(1, 2, low, low, 3)).astype(np.float32)
    module = PFE(size, width=5, depth=2)
    variables = module.init(jax.random.key(0), jnp.asarray(x))
    params = jax.device_get(variables["params"])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((1, 2, size, size, 3))
    for t, i, j in np.ndindex(2, size, size):
        a, b = i * low // size, j * low // size  # the nearest low-resolution pixel
        y = np.concatenate([padded[0, t, a : a + 3, b : b + 3].reshape(27), [low / size, low / size]])
        for layer in ("hidden_0", "hidden_1"):
            y = np.maximum(y @ params[layer]["kernel"] + params[layer]["bias"], 0)
        expected[0, t, i, j] = y @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(module.apply(variables, jnp.asarray(x)), expected, atol=1e-5)


def test_resolution_views_keep_the_clip_and_share_weights():
    module = ResolutionViews(16)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 16, 16, 3)).astype(np.float32))
    variables = module.init(jax.random.key(0), x, ("half",), train=False)
    y = module.apply(variables, x, ("half", "quarter"), train=False)
    assert y.shape == (2, 3, 2, 16, 16, 3)
    np.testing.assert_array_equal(y[:, 0], x)
    only = module.apply(variables, x, ("quarter",), train=False)
    np.testing.assert_allclose(only[:, 1], y[:, 2], atol=1e-6)
    cells = np.asarray(y[:, 2]).reshape(2, 2, 4, 4, 4, 4, 3)
    assert np.ptp(cells, axis=(3, 5)).max() == 0  # a quarter view is constant in 4x4 cells
    with pytest.raises(ValueError, match="eighth"):
        module.apply(variables, x, ("eighth",), train=False)


def test_the_full_view_can_pass_the_pfe_too(small):
    """As in the authors' code, whose 128 x 128 view is queried at 128 x 128 places."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 16, 16, 3)).astype(np.float32))
    module = ResolutionViews(16, pfe_views="all")
    variables = module.init(jax.random.key(0), x, ("half",), train=False)
    y = module.apply(variables, x, ("half",), train=False)
    expected = PFE(16).apply({"params": variables["params"]["pfe"]}, x)
    np.testing.assert_allclose(y[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(y[:, 1], ResolutionViews(16).apply(variables, x, ("half",), train=False)[:, 1])
    model, variables = small
    released = PhysFormer(**SMALL | dict(pfe_views="all"))
    alone, _ = released.apply(variables, frames(), train=False)  # as in evaluation, where no view is made
    among, _ = released.apply(variables, frames(), train=False, downsampled=("half", "quarter"))
    np.testing.assert_allclose(alone, among.reshape(2, 3, -1)[:, 0], atol=1e-5)
    assert jnp.abs(alone - model.apply(variables, frames(), train=False)[0]).max() > 1e-4


def test_full_configuration_has_the_published_shapes():
    model = PhysFormer(**tiny.settings("rppg"))
    clip = jax.ShapeDtypeStruct((2, 160, 128, 128, 3), jnp.uint8)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False, downsampled=("half",)), clip)
    wave, stages = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, clip)
    assert wave.shape == (2, 160) and wave.dtype == jnp.float32
    assert [s.shape for s in stages] == [(2, 640, 96)] * 3
    params = variables["params"]
    kernels = [params[f"stem{i}"]["conv"]["kernel"].shape for i in range(3)]
    assert kernels == [(1, 5, 5, 3, 24), (3, 3, 3, 24, 48), (3, 3, 3, 48, 96)]
    assert params["patch"]["kernel"].shape == (4, 4, 4, 96, 96)
    assert sum(name.startswith("stage") for name in params) == 12
    block = params["stage2_block3"]
    assert block["q"]["kernel"].shape == block["k"]["kernel"].shape == (3, 3, 3, 96, 96)
    assert block["depthwise"]["kernel"].shape == (3, 3, 3, 144)
    assert params["up0"]["kernel"].shape == (3, 1, 1, 96, 96) and params["up1"]["kernel"].shape == (3, 1, 1, 96, 48)


def test_all_convolution_forms_give_the_same_network(small):
    model, variables = small
    (a, _), *others = (model.clone(form=f).apply(variables, frames(), train=False) for f in FORMS)
    for b, _ in others:
        np.testing.assert_allclose(a, b, atol=1e-4)


class Blocks(nn.Module):
    """Two blocks as PhysFormer has them."""

    run: Callable

    @nn.compact
    def __call__(self, x, *, train):
        block = physformer_blocks.Block(8, 12, 2, 0.7, 2.0, 0.5, jnp.float32, None, parent=None)
        run = physformer_blocks.run_in_turn if self.is_initializing() else self.run
        return run(self, ["stage0_block0", "stage0_block1"], block, x, train=train, views=2)


def test_blocks_in_a_loop_are_blocks_in_turn():
    """Dropout's draws, statistics, gradients and the trees of them included."""
    looped, in_turn = (Blocks(run) for run in (physformer_blocks.run_in_loop, physformer_blocks.run_in_turn))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 2, 8)).astype(np.float32))
    variables = jax.jit(lambda: looped.init(jax.random.key(0), x, train=False))()

    @partial(jax.jit, static_argnums=0)
    def step(model, params):
        def loss(params):
            after, changed = model.apply(
                variables | {"params": params}, x, train=True,
                rngs={"dropout": jax.random.key(1)}, mutable=["batch_stats"],
            )  # fmt: skip
            return sum((y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum() for y in after), (after, changed)

        return jax.grad(loss, has_aux=True)(params), model.apply(variables, x, train=False)

    a, b = (step(model, variables["params"]) for model in (looped, in_turn))
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4), a, b)


@pytest.mark.parametrize(("blocks", "given", "loops"), [(3, None, 0), (6, None, 1), (3, True, 1), (6, False, 0)])
def test_blocks_loop_where_a_stage_has_more_than_one(blocks, given, loops):
    model = PhysFormer(**SMALL | dict(blocks=blocks, looped=given))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), frames(1), train=False))
    assert sum(name.startswith("stage") for name in variables["params"]) == blocks
    traced = jax.make_jaxpr(lambda v: model.apply(v, frames(1), train=False))(variables)
    assert [equation.primitive.name for equation in traced.eqns].count("scan") == loops


@pytest.mark.parametrize("kind", ["center", "temporal"])
def test_normalise_is_bounded_and_finite(kind):
    x = np.zeros((1, 8, 16, 16, 3), np.uint8)
    x[:, ::2, :8] = 255
    y = normalise(jnp.asarray(x), kind)
    assert jnp.isfinite(y).all() and jnp.abs(y).max() <= TEMPORAL_LIMIT
    if kind == "temporal":
        assert jnp.abs(y[:, :, 8:]).max() == 0  # black stays 0: no division by its mean
        pulse = np.full((1, 4, 16, 16, 3), 100, np.uint8)
        pulse[:, 1::2] = 102
        np.testing.assert_allclose(jnp.abs(normalise(jnp.asarray(pulse), kind)), 100 / 101, rtol=1e-5)


def test_gradients_are_finite(small):
    model, variables = small

    @jax.jit
    def gradient(clip):
        def loss(params):
            (wave, _), _ = model.apply(
                variables | {"params": params}, clip, train=True, downsampled=("half", "quarter"),
                rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"],
            )  # fmt: skip
            return (wave**2).sum()

        return jax.grad(loss)(variables["params"])

    for clip in (frames(), *(jnp.full((2, 16, 16, 16, 3), grey, jnp.uint8) for grey in (0, 255))):
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(clip)))


@pytest.mark.parametrize(
    "change, word",
    [
        (dict(blocks=4), "blocks"), (dict(heads=3), "dim"), (dict(frame_size=20), "frame_size"),
        (dict(patch=(2, 2, 2)), "patch"),
    ],
)  # fmt: skip
def test_bad_hyper_parameters_are_refused(change, word):
    with pytest.raises(UserError, match=f"^model.rppg.{word}"):
        PhysFormer(**SMALL | change).check()


@pytest.mark.parametrize("shape, word", [((1, 16, 32, 32, 3), "32x32"), ((1, 18, 16, 16, 3), "multiple of 4")])
def test_wrong_frames_are_refused(shape, word):
    with pytest.raises(ValueError, match=word):
        jax.eval_shape(
            lambda x: PhysFormer(**SMALL).init(jax.random.key(0), x, train=False), jnp.zeros(shape, jnp.uint8)
        )
