"""CLIP's encoders: transformers' numbers, end-token pooling, causality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.models.clip import ImageEncoder, TextEncoder
from cpml_jax.pretrained import clip as weights

TEXT = dict(vocab_size=40, context_length=12, width=16, layers=2, heads=2, projection=8)


@pytest.fixture(scope="module")
def reference():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    shared = dict(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = transformers.CLIPConfig(
        text_config=dict(**shared, vocab_size=40, max_position_embeddings=12, eos_token_id=39, bos_token_id=38,
                         pad_token_id=39),
        vision_config=dict(**shared, image_size=16, patch_size=8), projection_dim=8,
    )  # fmt: skip
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return torch, model, {k: v.detach().numpy() for k, v in model.state_dict().items()}


def test_text_encoder_equals_transformers(reference):
    torch, model, state = reference
    tokens = np.array([[38, 3, 7, 39, 39, 39], [38, 5, 2, 9, 11, 39]], np.int32)
    with torch.no_grad():
        inner = model.text_model(torch.from_numpy(tokens.astype(np.int64)))
        expected = model.text_projection(inner.pooler_output).numpy()
    params = weights.text_parameters(state, layers=2)
    encoder = TextEncoder(**TEXT)
    fresh = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.asarray(tokens)))
    weights.check_shapes(params, fresh["params"])
    np.testing.assert_allclose(encoder.apply({"params": params}, jnp.asarray(tokens)), expected, atol=2e-4, rtol=2e-4)


def test_image_encoder_equals_transformers(reference):
    torch, model, state = reference
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    with torch.no_grad():
        inner = model.vision_model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        expected = model.visual_projection(inner.pooler_output).numpy()
    params = weights.image_parameters(state, layers=2)
    encoder = ImageEncoder(patch=8, width=16, layers=2, heads=2, projection=8)
    weights.check_shapes(params, jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.asarray(images)))["params"])
    np.testing.assert_allclose(encoder.apply({"params": params}, jnp.asarray(images)), expected, atol=2e-4, rtol=2e-4)


def test_weights_that_do_not_fit_are_listed(reference):
    _, _, state = reference
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
