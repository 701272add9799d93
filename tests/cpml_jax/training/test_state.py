import jax.numpy as jnp
import optax

from cpml_jax.training.state import create_state


def test_a_fresh_state_is_at_step_0_with_the_optimizers_moments():
    params = {"kernel": jnp.ones((2, 3))}
    state = create_state({"params": params, "batch_stats": {"mean": jnp.zeros(3)}}, optax.adam(1.0))
    assert state.step.dtype == jnp.int32 and int(state.step) == 0
    assert state.variables == {"params": params, "batch_stats": state.batch_stats}
    assert state.opt_state[0].mu["kernel"].shape == (2, 3)


def test_a_model_without_batch_norm_has_empty_statistics():
    assert create_state({"params": {}}, optax.sgd(1.0)).batch_stats == {}
