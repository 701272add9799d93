"""CLIP's encoders: transformers' numbers, end-token pooling, causality."""

import clip_folder
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.models.clip import ImageEncoder, TextEncoder
from cpml_jax.pretrained import clip as weights

TEXT = dict(vocab_size=40, context_length=12, width=16, layers=2, heads=2, projection=8)
TOKENS = np.array([[38, 3, 7, 39, 39, 39], [38, 5, 2, 9, 11, 39]], np.int32)
IMAGES = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    text = dict(vocab_size=40, max_position_embeddings=12, eos_token_id=39, bos_token_id=38, pad_token_id=39)
    vision = dict(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=16)
    return clip_folder.Clip(text, vision, projection=8)


@pytest.fixture
def expected(made, torch_numbers):
    """(2, 2, 8): transformers' embeddings of TOKENS and IMAGES."""
    return torch_numbers("clip_small", clip_folder.reference, made, TOKENS, IMAGES)


def test_text_encoder_equals_transformers(made, expected):
    params = weights.text_parameters(made.state, layers=2)
    encoder = TextEncoder(**TEXT)
    fresh = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.asarray(TOKENS)))
    weights.check_shapes(params, fresh["params"])
    ours = encoder.apply({"params": params}, jnp.asarray(TOKENS))
    np.testing.assert_allclose(ours, expected[0], atol=2e-4, rtol=2e-4)


def test_image_encoder_equals_transformers(made, expected):
    params = weights.image_parameters(made.state, layers=2)
    encoder = ImageEncoder(patch=8, width=16, layers=2, heads=2, projection=8)
    weights.check_shapes(params, jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.asarray(IMAGES)))["params"])
    ours = encoder.apply({"params": params}, jnp.asarray(IMAGES))
    np.testing.assert_allclose(ours, expected[1], atol=2e-4, rtol=2e-4)


def test_weights_that_do_not_fit_are_listed(made):
    state = made.state
    with pytest.raises(UserError, match="layers.2.layer_norm1.weight"):
        weights.text_parameters(state, layers=3)
    with pytest.raises(UserError, match="not used.*layers.1.mlp.fc1"):
        weights.text_parameters(state, layers=1)
    with pytest.raises(UserError, match=r"scale: \(3,\) for \(2,\)"):
        weights.check_shapes({"norm": {"scale": np.zeros(3)}}, {"norm": {"scale": np.zeros(2)}})


def test_padding_and_later_words_do_not_matter():
    encoder = TextEncoder(**TEXT)
    tokens = jnp.array([[38, 3, 7, 39, 39, 39], [38, 3, 7, 39, 5, 6]], jnp.int32)
    variables = encoder.init(jax.random.key(0), tokens)
    both = encoder.apply(variables, tokens)
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)
    np.testing.assert_allclose(encoder.apply(variables, tokens[:1, :4])[0], both[0], atol=1e-6)


def test_context_goes_in_after_the_start_token():
    """Learned vectors equal to words' embeddings give what those words give."""
    encoder = TextEncoder(**TEXT)
    tokens = jnp.array([[38, 3, 7, 39, 39, 39]], jnp.int32)
    variables = encoder.init(jax.random.key(0), tokens)
    context = variables["params"]["token_embedding"]["embedding"][jnp.array([11, 12])]
    expected = encoder.apply(variables, jnp.array([[38, 11, 12, 3, 7, 39]], jnp.int32))
    np.testing.assert_allclose(encoder.apply(variables, tokens, context), expected, atol=1e-6)


def test_too_long_prompts_are_refused():
    with pytest.raises(ValueError, match="context_length"):
        TextEncoder(**TEXT).init(jax.random.key(0), jnp.zeros((1, 13), jnp.int32))
