"""Heads other than the prompts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.losses import cpml as losses
from cpml_jax.models.heads import BatchNorm, ContrastHead
from cpml_jax.validation import validate


def test_batch_norm_is_of_the_rows_that_count():
    x = np.random.default_rng(0).normal(2, 3, (6, 4)).astype(np.float32)
    weight = np.array([1, 1, 0, 1, 1, 0.0])
    kept = x[weight > 0]
    variables = {"params": {"scale": jnp.full(4, 2.0), "bias": jnp.ones(4)}}
    actual = BatchNorm().apply(variables, jnp.asarray(x), jnp.asarray(weight))[weight > 0]
    np.testing.assert_allclose(
        actual, 2 * (kept - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-5) + 1, rtol=1e-4, atol=1e-4
    )


def test_the_contrast_head_has_flips_widths():
    shapes = jax.eval_shape(lambda: ContrastHead().init(jax.random.key(0), jnp.zeros((2, 512)), jnp.ones(2)))["params"]
    kernels = [shapes[name]["kernel"].shape for name in ("hidden_0", "hidden_1", "out")]
    assert kernels == [(512, 4096), (4096, 4096), (4096, 256)]


def prototypes(**changes):
    """A model with learned class embeddings, its tokens and its variables."""
    config = tiny.tiny_config(**{"model.head": "prototypes"} | changes)
    model, tokens = scoring.build_model(config)
    variables = model.init(jax.random.key(0), scoring.dummy_inputs(config), tokens, method="init_everything")
    return model, tokens, variables


def test_prototypes_start_orthogonal_and_know_no_words():
    model, tokens, variables = prototypes()
    assert "text_encoder" not in variables["params"] and tokens.shape == (2, 1, 2)
    embeddings = model.apply(variables, tokens, method="encode_prompts")
    np.testing.assert_allclose(embeddings @ embeddings.T, np.eye(2), atol=1e-6)
    np.testing.assert_array_equal(embeddings, model.apply(variables, tokens + 5, method="encode_prompts"))


def test_clips_are_scored_by_their_cosine_to_the_prototypes():
    model, tokens, variables = prototypes(**{"model.temperature": 0.1})
    batch = tiny.random_batch(rows=2, views=1)
    inputs = {name: jnp.asarray(batch[name]) for name in ("frames", "landmarks")}
    embeddings = model.apply(variables, tokens, method="encode_prompts")
    outputs = model.apply(variables, inputs, embeddings, train=False)
    u = np.asarray(outputs["unified"])
    cosines = u @ np.asarray(variables["params"]["prototypes"]).T / np.linalg.norm(u, axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs["logits"], 10 * cosines, atol=1e-4)


def test_cmcl_moves_the_prototypes():
    model, tokens, variables = prototypes()
    u = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 16)), jnp.float32)

    def loss(params):
        embeddings = model.apply(variables | {"params": params}, tokens, method="encode_prompts")
        return sum(losses.cmcl(u, embeddings, jnp.array([0, 1, 0, 1]), jnp.ones(4)).values())

    gradient = jax.grad(loss)(variables["params"])
    assert np.abs(gradient["prototypes"]).max() > 1e-3


@pytest.mark.parametrize(
    ("key", "value"),
    [("model.text_encoder.weights", "clip"), ("model.text_encoder.mode", "frozen"), ("loss.prompt_mse", 1.0)],
)
def test_prototypes_refuse_what_needs_a_text_encoder(tmp_path, key, value):
    config = tiny.training_config(tmp_path, **{"model.head": "prototypes", key: value})
    with pytest.raises(UserError, match=f"{key}=.* needs a text encoder, which model.head='prototypes' has none of"):
        validate(config, "train")
