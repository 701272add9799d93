"""Heads other than the prompts, and what does not fit together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.models.heads import BatchNorm, ContrastHead


def test_batch_norm_is_of_the_rows_that_count():
    x = np.random.default_rng(0).normal(2, 3, (6, 4)).astype(np.float32)
    weight = np.array([1, 1, 0, 1, 1, 0.0])
    kept = x[weight > 0]
    variables = {"params": {"scale": jnp.full(4, 2.0), "bias": jnp.ones(4)}}
    found = BatchNorm().apply(variables, jnp.asarray(x), jnp.asarray(weight))[weight > 0]
    np.testing.assert_allclose(found, 2 * (kept - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-5) + 1, rtol=1e-4, atol=1e-4)


def test_the_contrast_head_has_flips_widths():
    shapes = jax.eval_shape(lambda: ContrastHead().init(jax.random.key(0), jnp.zeros((2, 512)), jnp.ones(2)))["params"]
    kernels = [shapes[name]["kernel"].shape for name in ("hidden_0", "hidden_1", "out")]
    assert kernels == [(512, 4096), (4096, 4096), (4096, 256)]


VISUAL = {"model.modalities": ("visual",)}
LINEAR = {"model.head": "linear", "loss.cmcl": 0.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.head": "linear"}, "loss.cmcl=0.25 compares with the class prompts"),
        ({**LINEAR, "loss.affinity": 1.0}, "loss.affinity=1.0 compares"),
        ({**LINEAR, **VISUAL, "loss.prompt_mse": 1.0}, "loss.prompt_mse=1.0 compares"),
        ({"model.head": "quadratic"}, "model.head"),
        ({"model.fusion_projection": "random"}, "model.fusion_projection"),
        ({"model.fusion_projection": "none"}, "visual stream alone"),
        ({"loss.simclr": 1.0}, "loss.simclr=1.0 needs the visual stream"),
        ({"loss.prompt_mse": 1.0}, "loss.prompt_mse=1.0 needs the visual stream"),
        ({**VISUAL, "loss.simclr": -1.0}, "0 or more"),
        ({**VISUAL, "loss.simclr_temperature": 0.0}, "must be above 0"),
    ],
)
def test_what_does_not_fit_is_one_line(changes, said):
    with pytest.raises(UserError, match=said) as error:
        scoring.build_model(tiny.tiny_config(**changes))
    assert "\n" not in str(error.value)


def test_one_prompt_a_class_cannot_be_halved(tmp_path):
    bank = tmp_path / "bank.json"
    bank.write_text('{"real": ["a real face"], "fake": ["a fake face", "a forged face"]}')
    config = tiny.tiny_config(**{**VISUAL, "loss.prompt_mse": 1.0, "model.text_encoder.bank": str(bank)})
    with pytest.raises(UserError, match="two or more"):
        scoring.build_model(config)
