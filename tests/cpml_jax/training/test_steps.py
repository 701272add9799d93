"""The step as a program: what it computes from state and batch, and for which platform."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from cpml_jax import train
from cpml_jax.evaluation import scoring
from cpml_jax.training import optimizer, sharding, steps
from cpml_jax.training.state import create_state

# No convolution and no text encoder: it compiles in a few seconds.
LIGHT = {"model.modalities": ("landmarks",), "model.head": "linear", "loss.cqsl": 0.0, "loss.cmcl": 0.0}


def prepared(**changes):
    """A jitted step with a fresh state and its mesh."""
    config = tiny.tiny_config(**{"train.steps": 4, "optim.learning_rate": 1e-2, "train.devices": 1, **changes})
    model, tokens = scoring.build_model(config)
    mesh = sharding.make_mesh(1)
    transformation, _, abstract, create = train.prepare_state(config, model, tokens, mesh)
    step = steps.make_train_step(
        model,
        transformation,
        tokens=tokens,
        class_embeddings=None,
        weights=tiny.loss_weights(**config.loss.to_dict()),
        seed=0,
        sampled_prompts=True,
        flip=True,
        trained=optimizer.is_trained(abstract.params, config.optim.groups, train.frozen_parts(config)),
    )
    return steps.jit_train_step(step, mesh, jax.tree.map(lambda leaf: leaf.sharding, abstract)), create, mesh, abstract


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_step_traced_on_a_cpu_is_the_accelerators_when_lowered_for_one(platform, whole_step):
    text = whole_step.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("[b, 0, 1, 2, f]") > 10  # XLA's 3-D convolutions
    assert "[b, 0, 1, f]" not in text  # the CPU's form would have convolutions in two dimensions


@pytest.fixture(scope="module")
def whole_step():
    step, _, _, abstract = prepared()
    batch = {n: jax.ShapeDtypeStruct(v.shape, v.dtype) for n, v in tiny.random_batch().items()}
    return step.trace(abstract, batch)


@pytest.fixture(scope="module")
def light():
    return prepared(**LIGHT)


def test_a_step_counts_itself_and_repeats_to_the_bit(light):
    step, create, mesh, _ = light
    batch = sharding.put_local_batch(tiny.random_batch(), mesh)
    states, losses = [], []
    for _ in range(2):
        state, metrics = step(create(), batch)
        states.append(jax.device_get(state))
        losses.append(float(metrics["loss"]))
    assert int(states[0].step) == 1 and {"loss", "ce", "accuracy", "gradient_norm"} == metrics.keys()
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert losses[0] == losses[1] == float(metrics["ce"]) and 0 <= float(metrics["accuracy"]) <= 1


def test_the_steps_number_draws_the_noise(light):
    step, create, mesh, _ = light
    batch = sharding.put_local_batch(tiny.random_batch(), mesh)
    first = float(step(create(), batch)[1]["loss"])
    later = create()
    later = later.replace(step=jax.device_put(np.int32(3), later.step.sharding))
    assert float(step(later, batch)[1]["loss"]) != first


def test_rows_of_weight_0_do_not_count(light):
    step, create, mesh, _ = light
    batch = tiny.random_batch()
    batch["weight"][-2:] = 0
    other = batch | {"label": np.concatenate([batch["label"][:-2], 1 - batch["label"][-2:]]).astype(np.int32)}
    losses = [float(step(create(), sharding.put_local_batch(b, mesh))[1]["loss"]) for b in (batch, other)]
    assert losses[0] == losses[1]


def flops(**changes) -> float:
    """Floating-point operations of a step as it is traced, before the compiler drops what nothing reads."""
    step, _, _, abstract = prepared(**LIGHT, **changes)
    batch = {n: jax.ShapeDtypeStruct(v.shape, v.dtype) for n, v in tiny.random_batch().items()}
    return step.lower(abstract, batch).cost_analysis()["flops"]


def test_nothing_is_propagated_back_into_frozen_parts():
    """A linear head on frozen landmarks: their forward pass alone. Old code also computed their gradients."""
    whole, head_alone = flops(), flops(**{"optim.groups": (("landmarks/", 0.0),)})
    assert head_alone < 0.6 * whole  # old code: 1.0


def test_the_gradients_norm_is_of_trained_parameters(light):
    """The fusion's and the head's alone, below that of all. Old code gave the same figure whatever was frozen."""
    step, create, mesh, _ = prepared(**LIGHT, **{"optim.groups": (("landmarks/", 0.0),)})
    batch = sharding.put_local_batch(tiny.random_batch(), mesh)
    before = jax.device_get(create().params)
    state, frozen = step(create(), batch)
    _, free = light[0](light[1](), batch)
    jax.tree.map(np.testing.assert_array_equal, before["landmarks"], jax.device_get(state.params["landmarks"]))
    assert 0 < float(frozen["gradient_norm"]) < 0.999 * float(free["gradient_norm"])
    assert float(frozen["loss"]) == float(free["loss"])


class Witness:
    """In the place of a model: its logits are a parameter, and it keeps what it is shown."""

    def apply(self, variables, inputs, embeddings, *, train, downsampled, rngs, mutable):
        self.shown = dict(inputs)
        label = jnp.zeros((len(inputs["stills"]), 2, 2)) + variables["params"]["logits"]
        return {"logits": label, "unified": label}, {}


def shown(batch, number=0, **changes):
    """What step `number` shows a model of a batch."""
    witness, transformation = Witness(), optax.sgd(1.0)
    step = steps.make_train_step(
        witness, transformation, tokens=None, class_embeddings=None, weights=tiny.loss_weights(cqsl=0.0, cmcl=0.0),
        seed=0, sampled_prompts=False, flip=False, **changes,
    )  # fmt: skip
    state = create_state({"params": {"logits": jnp.zeros(2)}}, transformation)
    state = dataclasses.replace(state, step=jnp.asarray(number))
    step(state, jax.tree.map(jnp.asarray, batch))
    return jax.tree.map(np.asarray, witness.shown)


def test_stills_are_drawn_and_varied_and_nothing_else_is():
    batch = tiny.random_batch()
    plain, varied = shown(batch), shown(batch, stills=1, vary_stills=True)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, batch[name])
        if name != "stills":
            np.testing.assert_array_equal(varied[name], values)
    assert varied["stills"].shape == (8, 2, 1, *batch["stills"].shape[3:]) and varied["stills"].dtype == np.float32
    first, again, other = (shown(batch, number, stills=1)["stills"] for number in (0, 0, 3))
    np.testing.assert_array_equal(first, again)  # of the step's number alone: a resumed run sees the same
    assert any((first[:, :, 0] == batch["stills"][:, :, k]).all() for k in range(batch["stills"].shape[2]))
    assert (
        varied["stills"] != shown(batch, 1, stills=1, vary_stills=True)["stills"]
    ).any() and other.shape == first.shape
