"""The steps of a configuration, as shapes on devices that need not be here."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cpml_jax import train
from cpml_jax.data.batch import stack_views, zero_inputs
from cpml_jax.evaluation import scoring
from cpml_jax.training import steps
from cpml_jax.training.sharding import DATA_AXIS, batch_sharding, replicated


def lower(step: str, config: ConfigDict, mesh: Mesh) -> jax.stages.Lowered:
    """train or score, as `main.py train` and `evaluate` would run it on the mesh, traced and lowered for its devices.

    Raises:
      UserError: the devices do not divide train.batch_size, or the configuration's files cannot be read.
    """
    if step == "train":
        train.check_batch_size(config.train.batch_size, mesh)
    model, tokens = scoring.build_model(config)
    transformation, _, abstract, _ = train.prepare_state(config, model, tokens, mesh)
    if step == "score":
        return _score_step(config, model, tokens, abstract, mesh)
    embeddings = _constant_embeddings(config, model, tokens, abstract)
    step_fn: Any = train.jit_step(config, model, tokens, embeddings, transformation, abstract, mesh)
    return step_fn.lower(abstract, training_batch(config, mesh))


def training_batch(config: ConfigDict, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch (schema.BATCH), its clips split over the mesh."""
    size = scoring.input_size(config)
    clip = {name: value[0, 0] for name, value in zero_inputs(size).items()}
    clip |= {"pulse": np.zeros(size.num_frames, np.float32), "valid": np.ones(size.num_frames, bool)}
    views = len(config.train.compressions) if config.train.views == "recorded" else 1
    batch = stack_views([[clip] * views], [0])
    batch |= {name: np.zeros(1, np.int32) for name in ("class_index", "pair")}
    return _split(batch, config.train.batch_size, mesh)


def _split(batch: dict[str, Any], rows: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    data = batch_sharding(mesh)
    return {n: jax.ShapeDtypeStruct((rows, *v.shape[1:]), v.dtype, sharding=data) for n, v in batch.items()}


def _whole(shape: jax.ShapeDtypeStruct, mesh: Mesh) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=replicated(mesh))


def _score_step(config: ConfigDict, model: Any, tokens: Any, abstract: Any, mesh: Mesh) -> jax.stages.Lowered:
    """As evaluation.scoring.Scorer runs it: rows padded to the mesh, the classes' embeddings given."""
    rows = config.eval.batch_size + -config.eval.batch_size % mesh.shape[DATA_AXIS]
    embeddings = None
    if tokens is not None:
        encoded = jax.eval_shape(lambda v: model.apply(v, tokens, method="encode_prompts"), abstract.variables)
        embeddings = _whole(encoded, mesh)
    step_fn: Any = steps.jit_score_step(model, mesh)
    inputs = _split(zero_inputs(scoring.input_size(config)), rows, mesh)
    return step_fn.lower(abstract.variables, embeddings, inputs)


def _constant_embeddings(config: ConfigDict, model: Any, tokens: Any, abstract: Any) -> np.ndarray | None:
    """Numbers of the shape of train.constant_embeddings: drawn, because nothing is there to compute them with."""
    if tokens is None or config.model.text_encoder.mode != "frozen":
        return None
    encoded: Any = jax.eval_shape(lambda v: model.apply(v, tokens, method="encode_templates"), abstract.variables)
    return np.random.default_rng(0).standard_normal(encoded.shape).astype(jnp.dtype(encoded.dtype))
