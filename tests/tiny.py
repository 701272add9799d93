"""A model, a batch and a step small enough to compile in seconds; shared by tests and by their subprocesses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import base
from cpml_jax import scoring, sharding, steps
from cpml_jax.state import create_state

NUM_FRAMES, FRAME_SIZE = 16, 16


def tiny_config(**changes):
    """A configuration of the whole model at toy size."""
    config = base.get_config()
    config.data.num_frames = NUM_FRAMES
    model = config.model
    model.unified_dim = 16
    model.physformer.update(
        dict(frame_size=FRAME_SIZE, stem=(4, 8), patch=(4, 2, 2), dim=8, ff_dim=12, heads=2, blocks=3, input_norm="temporal")
    )
    model.landmark_rnn.hidden = 4
    model.clip_text.update(dict(width=16, layers=1, heads=2, context_length=24))
    model.clip_image.update(dict(image_size=16, patch=8, width=16, layers=1, heads=2, frames=2))
    config.update_from_flattened_dict(changes)
    return config


def random_batch(rows: int = 8, views: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 255, (rows, views, NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8),
        "landmarks": rng.uniform(-1, 1, (rows, views, NUM_FRAMES, 68, 2)).astype(np.float32),
        "pulse": rng.normal(size=(rows, NUM_FRAMES)).astype(np.float32),
        "label": (np.arange(rows) % 2).astype(np.int32),
        "weight": np.ones(rows, np.float32),
    }


def one_step(mesh, batch: dict, *, shard_params: bool = False, **changes):
    """Loss terms and gradients (as the update of plain SGD at rate 1) of one step on a mesh."""
    config = tiny_config(**changes)
    model, tokens = scoring.build_model(config)
    optimizer = optax.sgd(1.0)

    def create():
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        return create_state(model.init(keys, *scoring.dummy_inputs(config), tokens, method="init_everything"), optimizer)

    shardings = sharding.state_shardings(jax.eval_shape(create), mesh, shard_params)
    state = jax.jit(create, out_shardings=shardings)()
    before = jax.device_get(jax.jit(lambda p: p, out_shardings=sharding.replicated(mesh))(state.params))
    step = steps.make_train_step(
        model, optimizer, tokens=tokens, class_embeddings=None, weights=steps.LossWeights(teacher=1.0), seed=0,
        sampled_prompts=True, flip=True,
    )  # fmt: skip
    state, measured = steps.jit_train_step(step, mesh, shardings)(state, batch)
    after = jax.device_get(jax.jit(lambda p: p, out_shardings=sharding.replicated(mesh))(state.params))
    gradients = jax.tree.map(lambda a, b: np.asarray(a - b), before, after)
    return {k: float(v) for k, v in jax.device_get(measured).items()}, gradients, jnp.asarray(state.step)
