"""A trained model that gives scores: used by validation, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cpml_jax.data.batch import zero_inputs
from cpml_jax.data.input_size import InputSize
from cpml_jax.errors import UserError
from cpml_jax.evaluation import provenance
from cpml_jax.models import cpml, heads, prompt_bank
from cpml_jax.models.cpml import CPML
from cpml_jax.models.streams import inputs_of
from cpml_jax.pretrained import apply
from cpml_jax.training import network, run_files, steps
from cpml_jax.training.network import Network
from cpml_jax.training.sharding import DATA_AXIS, make_mesh, put_global_batch, replicated, state_shardings


class Scorer:
    """Scores batches with fixed parameters over a mesh.

    Attributes:
      model: what is scored with.
      step: the training step that the parameters are of.
      selection: how that step was chosen: validation (the lowest pair loss), latest, or oracle.
      streams: names of the model's streams.
      inputs: those of schema.MODEL_INPUTS that they read.
      devices: how many a batch is split over.
    """

    def __init__(
        self,
        model: CPML,
        mesh: Mesh,
        tokens: jax.Array | None,
        *,
        variables: dict[str, Any] | None = None,
        step: int = 0,
        selection: str = "latest",
    ):
        self.model, self._mesh, self._tokens = model, mesh, tokens
        self._encode = jax.jit(lambda v, t: model.apply(v, t, method="encode_prompts"), out_shardings=replicated(mesh))
        self._score = steps.jit_score_step(model, mesh)
        self._score_streams = steps.jit_score_step(model, mesh, streams=True)
        self._fuse = steps.jit_fuse_step(model, mesh)
        self._saliency = steps.jit_saliency_step(model, mesh)
        self.streams, self.inputs = model.active, inputs_of(model.active)
        self.devices = mesh.shape[DATA_AXIS]
        self.step, self.selection = step, selection
        if variables is not None:
            self.load(variables, step)

    def load(self, variables: dict, step: int) -> None:
        """Use these parameters from now on; t_c is computed once, as the ensemble of all templates."""
        self._variables, self.step, self._sha256 = variables, step, ""
        self._class_embeddings = None if self._tokens is None else self._encode(variables, self._tokens)

    @property
    def parameters_sha256(self) -> str:
        """Of all parameters and batch statistics, however they lie over the devices (provenance.parameters_sha256)."""
        if not self._sha256:
            self._sha256 = provenance.parameters_sha256(self.variables())
        return self._sha256

    def variables(self) -> dict[str, Any]:
        """{"params": ..., "batch_stats": ...} of whole arrays on the host, however they lie over the devices."""
        return jax.device_get(jax.jit(lambda v: v, out_shardings=replicated(self._mesh))(self._variables))

    @property
    def class_embeddings(self) -> np.ndarray | None:
        """(2, D) float32 unit vectors t_c, real then fake; with several kinds of fake, their mean's direction.

        None with the linear head.
        """
        if self._class_embeddings is None:
            return None
        classes = np.asarray(jax.device_get(self._class_embeddings), np.float32)
        if len(classes) == 2:
            return classes
        fake = classes[1:].mean(axis=0)
        return np.stack([classes[0], fake / np.linalg.norm(fake)])

    @property
    def all_class_embeddings(self) -> np.ndarray | None:
        """(C, D) float32 unit vectors of all classes that the model scores against; None with the linear head."""
        if self._class_embeddings is None:
            return None
        return np.asarray(jax.device_get(self._class_embeddings), np.float32)

    def score(self, batch: dict) -> dict[str, np.ndarray]:
        """Scores of a batch of one view.

        Args:
          batch: schema.BATCH with V = 1, with at least this model's inputs; any number of rows, padded here to the
            mesh's size.

        Returns:
          p_fake (B,), logits (B, 2), unified (B, D) and, with the rPPG stream, wave (B, T), float32.
        """
        return self._run(self._score, {name: batch[name] for name in self.inputs})

    def score_streams(self, batch: dict) -> dict[str, Any]:
        """As `score`, and streams: stream -> arrays (B, ...), what the fusion takes of it."""
        return self._run(self._score_streams, {name: batch[name] for name in self.inputs})

    def fuse(self, streams: dict[str, Any]) -> np.ndarray:
        """Logits (B, 2) float32 of what `score_streams` gave, whether a row's streams are of one clip or of several."""
        return self._run(self._fuse, streams)

    def saliency(self, batch: dict) -> np.ndarray:
        """(B, S, S) float32 >= 0: how much each pixel moves the score (steps.jit_saliency_step)."""
        return self._run(self._saliency, {name: batch[name] for name in self.inputs})

    def _run(self, step: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        """What a step makes of a tree of arrays (B, ...), as NumPy arrays (B, ...)."""
        leaves, tree = jax.tree.flatten(inputs)
        rows = len(leaves[0])
        padding = -rows % self.devices
        if padding:
            leaves = [np.concatenate([x, np.repeat(x[:1], padding, axis=0)]) for x in leaves]
        placed = put_global_batch({str(place): x for place, x in enumerate(leaves)}, self._mesh)
        answer = step(self._variables, self._class_embeddings, jax.tree.unflatten(tree, placed.values()))
        return jax.tree.map(lambda value: np.asarray(value[:rows]), jax.device_get(answer))


def build_model(config: ConfigDict, given: Network | None = None) -> tuple[CPML, jax.Array | None]:
    """The model and its prompts' tokens from a valid configuration; shapes as its trained weights demand them.

    Args:
      given: what a run keeps (network.of_run); None: the configuration's, whose files are read.

    Returns:
      CPML, and (C, P, L) int32; stand-ins with prototypes, None with the linear head, which have no prompts.
    """
    given = network.of(config) if given is None else given
    settings = apply.configured(config.model.to_dict(), given.shapes)
    settings["text_encoder"].pop("vocab_size", None)
    text = config.model.text_encoder
    model = cpml.build(
        settings,
        given.vocabulary,
        jnp.dtype(config.train.precision),
        classes=len(prompt_bank.class_names(text.classes, config.train.methods)),
        context_words=given.context_words,
        projections=heads.projections(config.loss.to_dict()),
    )
    return model, None if given.tokens is None else jnp.asarray(given.tokens)


def input_size(config: ConfigDict) -> InputSize:
    """Of what a model with this configuration reads, in evaluation's batches."""
    model = config.model
    return InputSize(
        num_frames=config.data.num_frames,
        frame_size=model.rppg.frame_size,
        num_stills=model.visual.frames,
        batch_size=config.eval.batch_size,
        inputs=inputs_of(model.modalities),
        texture_cells=model.texture.cells,
    )


def dummy_inputs(config: ConfigDict, rows: int = 1) -> dict[str, jax.Array]:
    """The model's inputs of a batch of one view, all 0, for shapes."""
    inputs = zero_inputs(input_size(config), rows)
    return {name: jnp.zeros(x.shape, x.dtype) for name, x in inputs.items()}


def abstract_variables(model: CPML, config: ConfigDict, tokens: jax.Array | None) -> Any:
    """{"params": ..., "batch_stats": ...} of jax.ShapeDtypeStruct: what a model of this configuration holds."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    return jax.eval_shape(lambda: model.init(keys, dummy_inputs(config), tokens, method="init_everything"))


def restore_for_scoring(workdir: str | Path, config: ConfigDict, which: str = "best") -> Scorer:
    """A checkpoint of a run, ready to score. Arguments and errors as restore's."""
    model, tokens, mesh, variables, step, selection = restore(workdir, config, which)
    return Scorer(model, mesh, tokens, variables=variables, step=step, selection=selection)


def restore(workdir: str | Path, config: ConfigDict, which: str = "best") -> tuple:
    """A checkpoint of a run: model, prompts' tokens, mesh, variables, step, and how that step was chosen.

    Args:
      which: best (the lowest pair loss in validation), latest, or the number of a step that is kept. A step that
        validation did not choose is labelled an oracle's choice: nothing records how it was chosen.

    Raises:
      UserError: there is no checkpoint, it is of another configuration, or it cannot be read.
    """
    if not (Path(workdir) / run_files.FOLDER / run_files.CONFIG).is_file():
        raise UserError(
            f"{workdir}: no checkpoint here; run `main.py train` with the same --config and --workdir first"
        )
    from cpml_jax.training import checkpoint  # Orbax, a second that a model without its run does without

    run_files.check_config(workdir, config.to_dict(), resume=False)
    saved = checkpoint.Checkpoints(workdir)
    step, selection = saved.choose(which)
    if step is None:
        raise UserError(f"{workdir}: no {which} checkpoint yet; let `main.py train` reach train.eval_every first")
    run_files.check_prompts(workdir, network.read_bank(config, workdir))
    model, tokens = build_model(config, network.of_run(config, workdir))
    mesh = make_mesh(config.train.devices)
    abstract = abstract_variables(model, config, tokens)
    shardings = state_shardings(abstract, mesh, config.train.shard_params)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, shardings)
    variables = saved.restore_variables(step, abstract)
    saved.close()
    return model, tokens, mesh, variables, step, selection
