"""Convolution, batch norm, ReLU, pool: each form against the layers as they are written down, by linen and autodiff."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cpml_jax.models import conv_pool, convolution_cpu, convolution_tpu
from cpml_jax.models.convolution import FORMS, plain_conv3d
from cpml_jax.models.pooled_norm import Pixels, extremes_and_sums

SIZES = ((1, 5, 5), (3, 3, 3), (3, 3, 3))


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


class Plain(nn.Module):
    """The layers by the book: batch norm on all pixels, then the pool, in the order of docs/method.md."""

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x, *, train):
        for i, (features, size) in enumerate(zip(self.features, SIZES, strict=False)):
            x = PlainLayer(features, size, name=f"stem{i}")(x, train)
        return x


class PlainLayer(nn.Module):
    features: int
    size: tuple[int, int, int]

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(self.features, self.size, padding="SAME", dtype=x.dtype, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=x.dtype, name="norm")(x)
        return nn.max_pool(nn.relu(x), (1, 2, 2), (1, 2, 2))


class Ours(nn.Module):
    features: tuple[int, ...]
    form: str | None = None

    @nn.compact
    def __call__(self, x, *, train):
        channels = (x.shape[-1], *self.features[:-1])
        layers = [
            conv_pool.ConvPool(*layer, name=f"stem{i}")
            for i, layer in enumerate(zip(channels, self.features, SIZES[: len(channels)], strict=True))
        ]
        return conv_pool.run(layers, x, train=train, dtype=x.dtype, form=self.form)


def started(features, x):
    """Plain's variables, with scales and offsets of either sign and running statistics that are not 0 and 1."""
    variables = jax.jit(lambda: Plain(features).init(jax.random.key(0), x, train=False))()
    vectors = iter(range(1, 100))
    variables = jax.tree.map(lambda a: a + normal(*a.shape, seed=next(vectors)) if a.ndim == 1 else a, variables)
    return variables | {"batch_stats": jax.tree.map(jnp.abs, variables["batch_stats"])}


def trained(model, variables, x):
    """Result, new statistics, and the gradients of x and of all parameters."""

    @jax.jit
    def step(params, x):
        def loss(params, x):
            y, changed = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
            weights = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
            return (y.astype(jnp.float32) * weights).sum(), (y, changed["batch_stats"])

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    gradients, (y, statistics) = step(variables["params"], x)
    return {"y": y, "statistics": statistics, "gradients": gradients}


@pytest.fixture(scope="module", params=[(4, 6), (3, 4, 5)], ids=["two layers", "three layers"])
def case(request):
    features = request.param
    x = normal(2, 4, 2 ** len(features) * 2, 2 ** len(features) * 3, 3)
    variables = started(features, x)
    return features, x, variables, trained(Plain(features), variables, x)


@pytest.mark.parametrize(("form", "large"), [(form, conv_pool._LARGE) for form in FORMS] + [("folded", 0)])
def test_every_form_is_the_plain_one(case, form, large, monkeypatch):
    monkeypatch.setattr(conv_pool, "_LARGE", large)  # 0: one clip after the other
    features, x, variables, plain = case
    ours = trained(Ours(features, form), variables, x)
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    for part in plain:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-3), ours[part], plain[part])
    y, expected = (
        jax.jit(partial(m.apply, train=False))(variables, x) for m in (Ours(features, form), Plain(features))
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_in_bfloat16_the_forms_differ_by_its_rounding(case):
    features, x, variables, plain = case
    form = FORMS[len(features) - 1]
    ours = trained(Ours(features, form), variables, x.astype(jnp.bfloat16))
    assert ours["y"].dtype == jnp.bfloat16
    np.testing.assert_allclose(ours["y"].astype(np.float32), plain["y"], atol=0.06 * jnp.abs(plain["y"]).max())
    for a, b in zip(*(jax.tree.leaves(r["gradients"][0]) for r in (ours, plain)), strict=True):
        if a.ndim > 1:  # a convolution's bias has none: the norm takes it out
            assert np.corrcoef(np.ravel(a), np.ravel(b))[0, 1] > 0.96  # linen's own in bfloat16: 0.975


def test_all_start_as_linen_does_by_the_same_names():
    x = normal(1, 3, 8, 8, 3)
    ours, plain = (
        jax.jit(lambda m=m: m.init(jax.random.key(1), x, train=False))() for m in (Ours((4, 6)), Plain((4, 6)))
    )
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, plain)
    kernel = np.asarray(ours["params"]["stem1"]["conv"]["kernel"])
    assert kernel.std() == pytest.approx((27 * 4) ** -0.5, rel=0.1)


def test_equal_pixels_share_their_cells_gradient():
    y = jnp.zeros((1, 1, 2, 2, 1)).at[0, 0, 0, :, 0].set(3.0)  # the upper two are the largest, the lower the smallest
    together = jnp.asarray([3.0, 3.0, 0.0, 0.0]).reshape(1, 1, 1, 1, 4, 1)
    for pixels, given in ((Pixels.APART, y), (Pixels.TOGETHER, together), (Pixels.IN_LANES, together[..., 0])):
        for largest, shares in ((True, [0.5, 0.5, 0, 0]), (False, [0, 0, 0.5, 0.5])):
            extreme, pull = jax.vjp(
                lambda y, p=pixels, up=largest: extremes_and_sums(y, jnp.asarray([up]), None, p)[0], given
            )
            np.testing.assert_array_equal(extreme.ravel(), [3.0 if largest else 0.0])
            np.testing.assert_array_equal(pull(jnp.ones_like(extreme))[0].ravel(), shares)


def test_the_sums_gradients_are_the_written_ones():
    y, counted = normal(2, 3, 4, 2, 8), jnp.asarray(np.random.default_rng(1).integers(0, 2, (4, 2, 8)), jnp.float32)

    def by_hand(y):
        return (y * counted).sum((0, 1, 2, 3)), ((y * counted) ** 2).sum((0, 1, 2, 3))

    def ours(y):
        return extremes_and_sums(y, jnp.ones(2, bool), counted, Pixels.IN_LANES)[1:]

    (a, pull_a), (b, pull_b) = jax.vjp(ours, y), jax.vjp(by_hand, y)
    upstream = (normal(8, seed=2), normal(8, seed=3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), (a, pull_a(upstream)), (b, pull_b(upstream)))


def test_convolutions_in_cells_are_those_of_the_image():
    x, five, three = normal(2, 3, 8, 12, 2), normal(1, 5, 5, 2, 3, seed=1), normal(3, 3, 3, 2, 3, seed=2)
    for kernel in (five, three):
        y = (
            plain_conv3d(x, kernel)
            .reshape(2, 3, 4, 2, 6, 2, 3)
            .transpose(0, 1, 2, 4, 3, 5, 6)
            .reshape(2, 3, 4, 6, 4, 3)
        )
        np.testing.assert_allclose(convolution_cpu.conv3d_in_cells(x, kernel), y, atol=1e-4)
    later = convolution_tpu.later(x, three)
    np.testing.assert_allclose(later.reshape(y.shape), y, atol=1e-4)
    first = np.asarray(convolution_tpu.first(x, five)).reshape(2, 3, 3, 4, 2, 2, 2, 2, 3)  # cells, pixel, cell in it
    image = first.transpose(0, 1, 2, 6, 4, 3, 7, 5, 8).reshape(2, 3, 12, 16, 3)[:, :, 2:-2, 2:-2]
    np.testing.assert_allclose(image, plain_conv3d(x, five), atol=1e-4)


@pytest.mark.parametrize(
    ("side", "sizes", "packs"),
    [(8, SIZES[:2], True), (8, SIZES, True), (8, SIZES[:1], False), (6, SIZES[:2], False), (8, SIZES[1:], False)],
)
def test_what_has_no_packed_form_is_direct(side, sizes, packs):
    assert convolution_tpu.can_pack((1, 3, side, side, 3), [(*size, 3, 3) for size in sizes]) is packs


@pytest.mark.parametrize(("platform", "taps"), [("cpu", "[b, 0, 1, f]"), ("cuda", "1x5x5x3x4"), ("tpu", "1x2x2x48x64")])
def test_the_platform_of_the_program_chooses_the_form(platform, taps):
    x = normal(1, 3, 8, 8, 3)
    variables = jax.eval_shape(lambda: Plain((4, 6)).init(jax.random.key(0), x, train=False))

    def loss(params, x):
        y, _ = Ours((4, 6)).apply(variables_of(params), x, train=True, mutable=["batch_stats"])
        return y.sum()

    def variables_of(params):
        return {"params": params, "batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"])}

    text = jax.jit(jax.grad(loss)).trace(variables["params"], x).lower(lowering_platforms=(platform,)).as_text()
    others = {"[b, 0, 1, f]", "1x5x5x3x4", "1x2x2x48x64"} - {taps}
    convolutions = "\n".join(line for line in text.splitlines() if "stablehlo.convolution" in line)
    assert taps in convolutions and not any(other in convolutions for other in others)
