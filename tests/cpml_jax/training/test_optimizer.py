import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.training import optimizer

PARAMS = {"text": {"kernel": jnp.ones((3, 3))}, "rnn": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
SETTINGS = dict(
    steps=10, learning_rate=0.1, weight_decay=0.0, warmup_steps=0, final_fraction=1.0, clip_norm=0.0, accumulate=1
)


def update(params, gradients, **changes):
    transformation, _ = optimizer.make_optimizer(params, **{**SETTINGS, "groups": (), **changes})
    state = transformation.init(params)
    updates, state = transformation.update(gradients, state, params)
    return updates, state, transformation


def test_groups_freeze_and_scale():
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    base, _, _ = update(PARAMS, gradients)
    updates, _, _ = update(PARAMS, gradients, groups=(("text/", 0.0), ("rnn/bias", 0.5)))
    assert not updates["text"]["kernel"].any()
    np.testing.assert_allclose(updates["rnn"]["bias"], 0.5 * base["rnn"]["bias"], rtol=1e-5)
    np.testing.assert_allclose(updates["rnn"]["kernel"], base["rnn"]["kernel"])


def test_frozen_gradients_do_not_count_in_the_clipped_norm():
    gradients = {
        "text": {"kernel": jnp.full((3, 3), 1e6)},
        "rnn": {"kernel": jnp.full((2, 2), 0.1), "bias": jnp.zeros(2)},
    }
    free, _, _ = update(PARAMS, gradients, groups=(("text", 0.0),))
    clipped, _, _ = update(PARAMS, gradients, groups=(("text", 0.0),), clip_norm=1.0)
    np.testing.assert_allclose(clipped["rnn"]["kernel"], free["rnn"]["kernel"], rtol=1e-5)


def test_what_is_frozen_stays_so_whatever_the_groups_say_and_holds_no_moments():
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    updates, state, _ = update(PARAMS, gradients, groups=(("text/", 0.5),), frozen=("text/",), weight_decay=0.1)
    assert not updates["text"]["kernel"].any() and updates["rnn"]["kernel"].all()
    assert sum(leaf.shape == (3, 3) for leaf in jax.tree.leaves(state)) == 0


def test_a_group_that_matches_nothing_is_refused():
    with pytest.raises(UserError, match="matches no parameter"):
        update(PARAMS, PARAMS, groups=(("txet/", 0.0),))


def test_only_matrices_decay():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _, _ = update(PARAMS, zeros, weight_decay=0.1)
    assert updates["rnn"]["kernel"].min() < 0 and not updates["rnn"]["bias"].any()


def test_accumulated_micro_batches_are_one_update_with_the_mean_gradient():
    one, two = jax.tree.map(jnp.ones_like, PARAMS), jax.tree.map(lambda p: 3 * jnp.ones_like(p), PARAMS)
    mean, _, _ = update(PARAMS, jax.tree.map(lambda a, b: (a + b) / 2, one, two))
    first, state, transformation = update(PARAMS, one, accumulate=2)
    assert not any(leaf.any() for leaf in jax.tree.leaves(first))
    second, _ = transformation.update(two, state, PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), second, mean)


def test_the_rate_of_a_step_is_that_of_the_update_which_it_belongs_to():
    """Old code asked the schedule, which counts updates, for the step's number: after a warm-up, rates too low."""
    settings = dict(steps=12, warmup_steps=2, final_fraction=0.0, accumulate=3)
    _, rate = optimizer.make_optimizer(PARAMS, **{**SETTINGS, "groups": (), **settings})
    updates = optimizer.learning_rate_schedule(0.1, 4, 2, 0.0)
    assert [float(rate(step)) for step in range(12)] == [float(updates(n)) for n in range(4) for _ in range(3)]
    changed, state, transformation = update(PARAMS, PARAMS, **settings)
    moved = [bool(changed["rnn"]["kernel"].any())]
    for _ in range(5):
        changed, state = transformation.update(PARAMS, state, PARAMS)
        moved.append(bool(changed["rnn"]["kernel"].any()))
    assert moved == [False, False, False, False, False, True] and float(rate(2)) == 0 < float(rate(5))


def test_what_a_factor_of_0_or_frozen_names_is_not_trained():
    trained = optimizer.is_trained(PARAMS, (("rnn/bias", 0.0), ("rnn/", 0.5)), ("text/",))
    assert trained == {"text": {"kernel": False}, "rnn": {"kernel": True, "bias": False}}


def test_schedule_warms_up_then_falls():
    schedule = optimizer.learning_rate_schedule(1.0, 100, 10, 0.1)
    rates = [float(schedule(i)) for i in range(101)]
    assert rates[0] == 0 and rates[10] == 1.0 and np.isclose(rates[100], 0.1)
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    without = optimizer.learning_rate_schedule(1.0, 100, 0, 0.1)
    assert float(without(0)) == 1.0 and np.isclose(float(without(100)), 0.1)
