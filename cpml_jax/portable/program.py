"""What an exported program computes: a pure function of a batch of clips, with the model's parameters in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from cpml_jax.data.batch import clip_layout
from cpml_jax.data.input_size import InputSize
from cpml_jax.losses.total import real_and_fake
from cpml_jax.models.cpml import CPML

BATCH = "clips"  # the free dimension, by this name in both forms


class Program(NamedTuple):
    """A model to export.

    Attributes:
      model: CPML; its dtype is computed in.
      variables: {"params": ..., "batch_stats": ...} of arrays on the host.
      class_embeddings: (C, D) float32 of all its classes, or None with the linear head.
      size: what it reads of a clip.
    """

    model: CPML
    variables: Mapping[str, Any]
    class_embeddings: np.ndarray | None
    size: InputSize

    def function(self) -> Callable[..., dict[str, jax.Array]]:
        """Of the inputs by name, (B, ...) each -> margin (B,), p_fake (B,), unified (B, D) and, with the rPPG stream,
        wave (B, T); float32."""
        variables = jax.tree.map(jnp.asarray, self.variables)
        classes = None if self.class_embeddings is None else jnp.asarray(self.class_embeddings)

        def score(**inputs: jax.Array) -> dict[str, jax.Array]:
            one_view = {name: x[:, None] for name, x in inputs.items()}
            outputs: Any = self.model.apply(variables, one_view, classes, train=False)
            logits = real_and_fake(outputs["logits"][:, 0])
            margin = logits[:, 1] - logits[:, 0]
            scores = {"margin": margin, "p_fake": jax.nn.sigmoid(margin)}
            return scores | {name: outputs[name][:, 0] for name in ("unified", "wave") if name in outputs}

        return score

    def arguments(self, clips: Any = None) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the inputs.

        Args:
          clips: the batch dimension; None: left free.
        """
        if clips is None:
            (clips,) = export.symbolic_shape(BATCH)
        layout = clip_layout(self.size)
        return {name: jax.ShapeDtypeStruct((clips, *layout[name][0]), layout[name][1]) for name in self.size.inputs}
