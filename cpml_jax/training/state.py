"""What training changes: one frozen struct of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import flax.struct
import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    import optax


@flax.struct.dataclass
class TrainState:
    """step () int32; params, batch_stats: trees of float32 arrays; opt_state: the optimizer's tree.

    Random keys are not part of it: every step folds its number into the run's seed.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """params and batch_stats, as flax's apply takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(variables: Mapping[str, Any], optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, from a model's fresh or trained variables."""
    params = variables["params"]
    return TrainState(jnp.zeros((), jnp.int32), params, variables.get("batch_stats", {}), optimizer.init(params))
