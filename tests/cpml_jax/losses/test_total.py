"""The total: which frames the pulse terms read."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.losses.total import total_loss, valid_of_views

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("views", [2, 4])  # recorded ones; and two more that the model made of the best
def test_a_wave_counts_only_where_its_clip_was_measured(views):
    batch = tiny.random_batch(4)
    batch["valid"][:, :, 5:9] = False
    weights = tiny.loss_weights(cqsl=1.0, teacher=1.0, cmcl=0.0)
    wave = RNG.normal(size=(4, views, tiny.NUM_FRAMES)).astype(np.float32)
    spoilt = wave.copy()
    spoilt[..., 5:9] = 100 * RNG.normal(size=spoilt[..., 5:9].shape)
    terms = []
    for made in (wave, spoilt):
        outputs = {"logits": jnp.zeros((4, views, 2)), "unified": jnp.ones((4, views, 3)), "wave": jnp.asarray(made)}
        terms.append(total_loss(outputs, None, batch, weights, jnp.int32(0))[1])
    for name in ("pull", "push", "teacher"):
        np.testing.assert_allclose(terms[0][name], terms[1][name], rtol=1e-4, err_msg=name)


def test_made_views_share_the_validity_of_the_best():
    valid = RNG.random((2, 2, 8)) < 0.5
    shared = np.asarray(valid_of_views(valid, 4))
    np.testing.assert_array_equal(shared[:, :2], valid)
    np.testing.assert_array_equal(shared[:, 2:], np.repeat(valid[:, :1], 2, axis=1))
    assert valid_of_views(valid, 2) is valid
