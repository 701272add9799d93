"""CPML end to end on random input, at toy size; shapes of the full one."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import FRAME_SIZE, NUM_FRAMES, NUM_STILLS, tiny_config

from cpml_jax.configs import base
from cpml_jax.models import cpml
from cpml_jax.schema import CROP_SIZE

VOCAB = 50
VIEWS = ("half", "quarter")


def build(dtype=jnp.float32, **changes):
    return cpml.build(tiny_config(**changes).model.to_dict(), VOCAB, dtype)


def clips(rows=2, views=1, seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (rows, views, NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8)
    landmarks = rng.uniform(-1, 1, (rows, views, NUM_FRAMES, 68, 2)).astype(np.float32)
    stills = rng.integers(0, 255, (rows, views, NUM_STILLS, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    inputs = {"frames": frames, "stills": stills, "landmarks": landmarks}
    return {name: jnp.asarray(x) for name, x in inputs.items()}


def tokens(prompts=3, length=10):
    ids = np.random.default_rng(0).integers(0, VOCAB - 2, (2, prompts, length))
    ids[..., 0], ids[..., 5:] = VOCAB - 2, VOCAB - 1
    return jnp.asarray(ids, jnp.int32)


def initialise(model, seed=0):
    return jax.jit(lambda: model.init(jax.random.key(seed), clips(1), tokens(), method="init_everything"))()


@pytest.fixture(scope="module")
def everything():
    """All three modalities: the model, its variables, t_c, and jitted evaluation and training passes."""
    model = build(**{"model.modalities": ("rppg", "landmarks", "visual")})
    variables = initialise(model)
    embeddings = model.apply(variables, tokens(), method="encode_prompts")
    score = jax.jit(lambda inputs: model.apply(variables, inputs, embeddings, train=False))

    @jax.jit
    def train(params, inputs, key):
        def loss(params):
            tree = variables | {"params": params}
            t_c = model.apply(tree, tokens(), method="encode_prompts")
            outputs, changed = model.apply(
                tree,
                inputs,
                t_c,
                train=True,
                downsampled=VIEWS,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            value = (outputs["wave"] ** 2).mean() - jax.nn.log_softmax(outputs["logits"])[..., 0].mean()
            return value, (outputs, changed["batch_stats"])

        return jax.value_and_grad(loss, has_aux=True)(params)

    return model, variables, embeddings, score, train


def test_shapes_types_and_units(everything):
    model, variables, embeddings, score, _ = everything
    assert embeddings.shape == (2, 16)
    np.testing.assert_allclose(jnp.linalg.norm(embeddings, axis=-1), 1, atol=1e-5)
    out = score(clips(2, views=2))
    assert out["wave"].shape == (2, 2, NUM_FRAMES) and out["unified"].shape == (2, 2, 16)
    assert all(out[name].dtype == jnp.float32 for name in ("wave", "unified", "logits"))
    u = out["unified"] / jnp.linalg.norm(out["unified"], axis=-1, keepdims=True)
    np.testing.assert_allclose(out["logits"], np.einsum("bvd,cd->bvc", u, embeddings) / 0.07, rtol=1e-4, atol=1e-4)
    assert [s.shape for s in out["intermediates"]["stages"]] == [(2, 2, 16, 8)] * 3
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


def test_evaluation_is_deterministic_and_clips_do_not_meet(everything):
    _, _, _, score, _ = everything
    inputs = clips(2, views=2)
    a, b = score(inputs), score(inputs)
    np.testing.assert_array_equal(a["logits"], b["logits"])
    other = clips(2, views=2, seed=5)
    mixed = score({name: x.at[1].set(other[name][1]) for name, x in inputs.items()})
    np.testing.assert_allclose(mixed["logits"][0], a["logits"][0], atol=1e-5)
    assert jnp.abs(mixed["logits"][1] - a["logits"][1]).max() > 1e-4
    # Views are rows of one batch, in (clip, view) order.
    swapped = score({name: x[:, ::-1] for name, x in inputs.items()})
    np.testing.assert_allclose(swapped["unified"][:, ::-1], a["unified"], atol=1e-5)


def test_training_pass(everything):
    _, variables, _, _, train = everything
    args = (clips(2), jax.random.key(0))
    (value, (out, stats)), gradients = train(variables["params"], *args)
    assert out["wave"].shape == (2, 3, NUM_FRAMES) and out["logits"].shape == (2, 3, 2)
    assert jax.tree.structure(stats) == jax.tree.structure(variables["batch_stats"])
    assert any(
        (a != b).any() for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(variables["batch_stats"]), strict=True)
    )
    again = train(variables["params"], *args)[0][0]
    other = train(variables["params"], clips(2), jax.random.key(1))[0][0]
    assert value == again and value != other
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))
    # Every parameter is reached, but for biases in front of a batch norm, which have no effect.
    paths = [(jax.tree_util.keystr(k), g) for k, g in jax.tree_util.tree_leaves_with_path(gradients)]
    assert not [path for path, g in paths if not g.any() and not path.endswith("['bias']")]
    black = jax.tree.map(jnp.zeros_like, args[0])
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(train(variables["params"], black, args[1])))


def test_the_landmark_stream_is_float32_in_a_bfloat16_model():
    """A frame moves a point by 0.002: half a step of bfloat16 where the points lie."""
    steps = 0.002 * np.random.default_rng(0).normal(size=(2, 1, NUM_FRAMES, 68, 2)).astype(np.float32)
    inputs = {"landmarks": jnp.asarray(0.7 + np.cumsum(steps, axis=2))}
    changes = {"model.modalities": ("landmarks",), "model.landmarks.delta_scale": 200.0}
    whole, half = build(**changes), build(jnp.bfloat16, **changes)
    variables = initialise(whole)
    a, b = (model.apply(variables, inputs, jnp.eye(2, 16), train=False) for model in (whole, half))
    np.testing.assert_array_equal(a["intermediates"]["z_land"], b["intermediates"]["z_land"])
    assert a["intermediates"]["z_land"].dtype == b["intermediates"]["z_land"].dtype == jnp.float32
    assert jnp.abs(a["unified"] - b["unified"]).max() > 0  # of the fusion, which is in bfloat16


def test_no_label_in_the_forward_pass():
    assert list(inspect.signature(cpml.CPML.__call__).parameters) == [
        "self", "inputs", "class_embeddings", "train", "downsampled",
    ]  # fmt: skip


@pytest.mark.parametrize("modalities", [("rppg",), ("landmarks",), ("visual",), ("landmarks", "visual")])
def test_subsets_of_modalities(modalities):
    model = build(**{"model.modalities": modalities})
    args = (clips(2), jnp.eye(2, 16))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), clips(1), tokens(), method="init_everything"))
    out = jax.eval_shape(lambda v, *a: model.apply(v, *a, train=False, downsampled=VIEWS), variables, *args)
    assert out["unified"].shape == (2, 3, 16) and ("wave" in out) == ("rppg" in modalities)
    assert {"rppg", "landmarks", "visual"} & set(variables["params"]) == set(modalities)


def test_bfloat16_is_close(everything):
    model, variables, embeddings, score, _ = everything
    low = jax.jit(lambda inputs: model.clone(dtype=jnp.bfloat16).apply(variables, inputs, embeddings, train=False))
    a, b = score(clips(2)), low(clips(2))
    assert all(b[name].dtype == jnp.float32 for name in ("wave", "unified", "logits"))
    assert np.corrcoef(a["wave"].ravel(), b["wave"].ravel())[0, 1] > 0.99
    np.testing.assert_allclose(a["logits"], b["logits"], atol=0.5)


@pytest.mark.parametrize("mode", ["finetune", "frozen", "context"])
def test_text_modes(mode):
    model = build(**{"model.text_encoder.mode": mode, "model.modalities": ("landmarks",)})
    variables = initialise(model)

    def difference(params):
        e = model.apply({"params": params}, tokens(), method="encode_prompts")
        return e[0] @ e[1]

    gradients = jax.jit(jax.grad(difference))(variables["params"])
    learns = any(g.any() for g in jax.tree.leaves(gradients["text_encoder"]))
    assert learns == (mode == "finetune")
    assert ("context" in gradients) == (mode == "context")
    if mode == "context":
        assert gradients["context"].any()


def test_tau_is_limited():
    model = build(**{"model.modalities": ("landmarks",)})
    variables = initialise(model)
    variables["params"]["tau"] = jnp.float32(9.0)
    out = model.apply(variables, clips(1), jnp.eye(2, 16), train=False)
    assert jnp.abs(out["logits"]).max() <= 100.001
    assert float(jnp.exp(out["intermediates"]["tau"])) == pytest.approx(100, rel=1e-4)


def test_the_temperature_is_that_of_the_configuration():
    model = build(**{"model.modalities": ("landmarks",), "model.temperature": 0.25})
    out = model.apply(initialise(model), clips(1), jnp.eye(2, 16), train=False)
    cosines = out["unified"][0, 0, :2] / jnp.linalg.norm(out["unified"][0, 0])
    np.testing.assert_allclose(out["logits"][0, 0], 4 * cosines, rtol=1e-5)


def test_full_configuration():
    model = cpml.build(base.get_config().model.to_dict(), 49408, jnp.bfloat16)
    inputs = {
        "frames": jax.ShapeDtypeStruct((1, 2, 160, 128, 128, 3), jnp.uint8),
        "landmarks": jax.ShapeDtypeStruct((1, 2, 160, 68, 2), jnp.float32),
    }
    words = jax.ShapeDtypeStruct((2, 6, 77), jnp.int32)
    variables = jax.eval_shape(lambda *a: model.init(jax.random.key(0), *a, method="init_everything"), inputs, words)
    fusion = variables["params"]["fusion"]
    assert fusion["series"]["stages"]["kernel"].shape == (122_880, 160)
    assert fusion["cross_attention"]["pulse"]["kernel"].shape == (80, 2)
    assert fusion["cross_attention"]["keys"]["kernel"].shape == (2, 128)
    assert fusion["out"]["kernel"].shape == (256, 512)
    t_c = jax.ShapeDtypeStruct((2, 512), jnp.float32)
    out = jax.eval_shape(lambda v, *a: model.apply(v, *a, train=False), variables, inputs, t_c)
    assert out["wave"].shape == (1, 2, 160) and out["unified"].shape == (1, 2, 512) and out["logits"].shape == (1, 2, 2)
