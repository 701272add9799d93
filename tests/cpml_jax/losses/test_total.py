"""The total: what each weight weighs, and which views, pairs and frames the terms read."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.configs import base
from cpml_jax.losses.push_pairs import push_pairs
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


T_C = jnp.eye(2, 8)
PARTS = {"cqsl": ("pull", "push", "rate"), "cmcl": ("align", "repel", "steady")}


def drawn(clips=4, views=2):
    rng = np.random.default_rng(1)
    shapes = {"logits": 2, "unified": 8, "wave": tiny.NUM_FRAMES}
    return {name: rng.normal(size=(clips, views, width)).astype(np.float32) for name, width in shapes.items()}


def loss_of(outputs, batch, **changes):
    loss, terms = total_loss(outputs, T_C, batch, tiny.loss_weights(**changes), jnp.int32(0))
    return float(loss), {name: float(term) for name, term in terms.items()}


def test_at_the_papers_batch_the_default_is_the_authors_total():
    """Their training step: CE(real) + CE(fake) + 0.2 (pull + push + rate) + 0.25 (align + repel + steady)."""
    outputs, batch = drawn(2), tiny.random_batch(2)
    loss, terms = loss_of(outputs, batch)
    best = outputs["logits"][:, 0]
    ce = sum(np.log(np.exp(best[i]).sum()) - best[i, i] for i in range(2))
    cqsl, cmcl = (sum(terms[name] for name in PARTS[part]) for part in ("cqsl", "cmcl"))
    np.testing.assert_allclose(loss, ce + 0.2 * cqsl + 0.25 * cmcl, rtol=1e-5)
    # The sums themselves are in test_cpml.py.
    assert terms["ce"] == pytest.approx(ce, rel=1e-5)


def test_the_weights_weigh_the_same_at_any_batch_and_number_of_views():
    once, batch = drawn(4), tiny.random_batch(4)
    twice = {name: np.concatenate([x, x]) for name, x in once.items()}
    copied = {name: np.concatenate([x, x]) for name, x in batch.items()} | {"pair": np.array([0, 0, 1, 1, 2, 2, 3, 3])}
    thrice = {name: x[:, [0, 1, 1]] for name, x in once.items()}
    for ce_views in ("best", "all"):
        loss, terms = loss_of(once, batch, ce_views=ce_views)
        np.testing.assert_allclose(loss_of(twice, copied, ce_views=ce_views)[0], loss, rtol=1e-5)
        for name in ("pull", "rate", "steady", *(["ce"] if ce_views == "best" else [])):
            np.testing.assert_allclose(loss_of(thrice, batch, ce_views=ce_views)[1][name], terms[name], rtol=1e-4)


def test_labels_on_all_views_weigh_no_more_than_on_the_best():
    outputs, batch = drawn(4, views=3), tiny.random_batch(4)
    of_views = [loss_of({**outputs, "logits": outputs["logits"][:, v:]}, batch)[1]["ce"] for v in range(3)]
    assert loss_of(outputs, batch)[1]["ce"] == of_views[0]
    np.testing.assert_allclose(loss_of(outputs, batch, ce_views="all")[1]["ce"], np.mean(of_views), rtol=1e-5)


@pytest.mark.parametrize("ce_views", ["best", "all"])
def test_only_the_views_with_labels_are_classified(ce_views):
    batch, off = tiny.random_batch(4), dict(cqsl=0.0, cmcl=0.0, ce_views=ce_views)
    weights = tiny.loss_weights(**off)
    gradient = jax.grad(lambda x: total_loss({"logits": x}, None, batch, weights, jnp.int32(0))[0])(
        drawn(4, views=3)["logits"]
    )
    np.testing.assert_array_equal(np.any(gradient, axis=(0, 2)), [True] + 2 * [ce_views == "all"])


@pytest.mark.parametrize(("loss", "name"), [(loss, name) for loss, names in PARTS.items() for name in names])
def test_each_term_has_a_weight_of_its_own(loss, name):
    outputs, batch = drawn(), tiny.random_batch(4)
    total, terms = loss_of(outputs, batch)
    weight = tiny.loss_weights().cqsl if loss == "cqsl" else tiny.loss_weights().cmcl
    for factor in (0.0, 3.0):
        changed, same = loss_of(outputs, batch, **{f"{loss}_{name}": factor})
        np.testing.assert_allclose(changed, total + (factor - 1) * weight * terms[name], rtol=1e-4, atol=1e-5)
        assert same == terms  # what is logged has no weight


def test_pull_alone_leaves_no_gradient_of_the_others():
    outputs, batch = drawn(), tiny.random_batch(4)
    alone = tiny.loss_weights(ce=0.0, cmcl=0.0, cqsl=1.0, cqsl_push=0.0, cqsl_rate=0.0)
    gradient = jax.grad(lambda w: total_loss({**outputs, "wave": w}, None, batch, alone, jnp.int32(0))[0])
    same_views = np.repeat(outputs["wave"][:, :1], 2, axis=1)
    np.testing.assert_allclose(gradient(same_views), 0, atol=1e-6)  # at its optimum, whatever push would want
    assert np.any(gradient(outputs["wave"]))


def test_the_settings_of_the_push_reach_it():
    outputs, batch = drawn(), tiny.random_batch(4)
    batch["pulse"][1] = batch["pulse"][0]  # of the pair 0, whose fake kept its target's pulse
    of = lambda **changes: loss_of(outputs, batch, **changes)[1]["push"]  # noqa: E731
    rho = np.abs(np.corrcoef(outputs["wave"].reshape(8, -1))).reshape(4, 2, 4, 2)
    pair = np.array([rho[0, :, 1].mean(), rho[2, :, 3].mean()])
    every = rho[::2][:, :, 1::2]
    np.testing.assert_allclose(of(push_pairs="matched"), 4 * pair.mean(), rtol=1e-4)
    np.testing.assert_allclose(of(push_pairs="all"), 4 * every.mean(), rtol=1e-4)
    np.testing.assert_allclose(of(push_pairs="matched", push_skip_matching=0.9), 4 * pair[1], rtol=1e-4)
    np.testing.assert_allclose(of(push_pairs="all", push_margin=0.1), 4 * np.maximum(every - 0.1, 0).mean(), rtol=1e-4)
    assert of() == of(push_pairs="matched", push_margin=0.0, push_skip_matching=1.0)


@pytest.mark.parametrize("name", ["wave", "unified"])
def test_a_stop_at_the_better_view_reaches_the_losses(name):
    outputs, batch = drawn(), tiny.random_batch(4)
    alone = dict(ce=0.0, cqsl_push=0.0, cqsl_rate=0.0, cmcl_align=0.0, cmcl_repel=0.0)

    def gradient(stop):
        weights = tiny.loss_weights(**alone, stop_better=stop)
        return jax.grad(lambda x: total_loss({**outputs, name: x}, T_C, batch, weights, jnp.int32(0))[0])(outputs[name])

    assert not np.any(gradient(True)[:, 0]) and np.any(gradient(False)[:, 0]) and np.any(gradient(True)[:, 1])


def test_every_key_of_the_losses_is_read():
    assert set(base.get_config().loss) == {field.name for field in dataclasses.fields(tiny.loss_weights())}


def test_a_batch_without_pairs_is_enough_for_all_pairs():
    batch = tiny.random_batch(4)
    del batch["pair"]
    assert loss_of(drawn(), batch, push_pairs="all")[1]["push"] > 0
    assert np.asarray(push_pairs(batch, "all")).sum() == 4
