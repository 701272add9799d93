"""This project's side: the work of a row, compiled, as a function without arguments. torch is not imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.compile_target import figures
from benchmarks.side_by_side import rows
from benchmarks.side_by_side.rows import INFER, STEP, Row
from cpml_jax import train
from cpml_jax.evaluation import scoring
from cpml_jax.models import streams
from cpml_jax.training.sharding import make_mesh, put_global_batch
from cpml_jax.training.state import create_state


def build(row: Row, config: ConfigDict) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A function that does the row's work once, and returns when it is done; and `work_of` its program.

    Args:
      config: rows.configuration's, for the first device of the platform that JAX has.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    if row.work == STEP:
        return whole_step(config)
    return physformer(row.work, config)


def whole_step(config: ConfigDict) -> tuple[Callable[[], Any], dict[str, Any]]:
    """The step that `main.py train` runs, on a batch that is on the device. Returns the loss."""
    mesh = make_mesh(1)
    model, tokens = scoring.build_model(config)
    transformation, _, abstract, _ = train.prepare_state(config, model, tokens, mesh)
    step: Any = train.jit_step(config, model, tokens, None, transformation, abstract, mesh)
    batch = put_global_batch(rows.batch(config), mesh)
    lowered = step.lower(abstract, batch)
    compiled = lowered.compile()
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    create = jax.jit(lambda variables: create_state(variables, transformation), out_shardings=shardings)
    held = [create(drawn(abstract.variables))]

    # The state is donated, so nothing but this function may hold it.
    def step_once() -> jax.Array:
        state = held.pop()
        state, metrics = compiled(state, batch)
        held.append(state)
        jax.block_until_ready(state)
        return metrics["loss"]

    return step_once, work_of(lowered, compiled)


def physformer(work: str, config: ConfigDict) -> tuple[Callable[[], Any], dict[str, Any]]:
    """PhysFormer alone: its mean square wave and gradients, or its waves."""
    settings = {name: value for name, value in config.model.rppg.to_dict().items() if name != "weights"}
    module = streams.build_rppg(settings, config.model.unified_dim, jnp.dtype(config.train.precision))
    frames = jax.device_put(rows.batch(config)["frames"][:, 0])
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), frames)
    variables = jax.device_put(drawn(shapes))

    def waves(variables: Any, frames: jax.Array) -> jax.Array:
        return module.apply(variables, frames, train=False)[0]

    def gradients(variables: Any, frames: jax.Array, key: jax.Array) -> Any:
        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            given = {"params": params, "batch_stats": variables["batch_stats"]}
            outputs: Any = module.apply(given, frames, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
            (wave, _), changed = outputs
            return (wave * wave).mean(), changed

        return jax.value_and_grad(loss_of, has_aux=True)(variables["params"])

    arguments = (variables, frames) if work == INFER else (variables, frames, jax.random.key(0))
    lowered = jax.jit(waves if work == INFER else gradients).lower(*arguments)
    compiled = lowered.compile()
    return lambda: jax.block_until_ready(compiled(*arguments)), work_of(lowered, compiled)


def drawn(shapes: Any, seed: int = 0) -> Any:
    """Variables of these shapes: kernels drawn by their fan-in, norms' scales and variances near 1, the rest near 0."""
    rng = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path[-1].key
        if name in ("scale", "var", "tau"):
            return rng.uniform(0.8, 1.2, leaf.shape).astype(np.float32)
        width = np.prod(leaf.shape[:-1]) if name == "kernel" else 25.0
        return (rng.standard_normal(leaf.shape, np.float32) / np.float32(np.sqrt(width))).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def work_of(lowered: jax.stages.Lowered, compiled: jax.stages.Compiled) -> dict[str, Any]:
    """{flops, bytes_moved, device} of a program; the first two as compile_for.py counts them, on a GPU alone."""
    device = jax.devices()[0]
    found: dict[str, Any] = {"device": device.device_kind, "flops": None, "bytes_moved": None}
    if device.platform == "gpu":
        counted = compiled.cost_analysis() or {}
        found["flops"] = counted.get("flops") or figures.flops_of(lowered)
        moved = counted.get("bytes accessed")
        found["bytes_moved"] = moved or figures.bytes_moved(figures.parse(compiled.as_text() or ""), "gpu")
    return found


def peak_memory() -> int:
    """Bytes of the GPU at most."""
    return (jax.devices()[0].memory_stats() or {})["peak_bytes_in_use"]
