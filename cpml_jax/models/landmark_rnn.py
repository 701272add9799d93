"""LRNet (Sun et al., CVPR 2021): landmark tracks -> motion features (docs/method.md, Encoders).

All of it is float32, whatever the other streams compute in: a frame moves a point by some 0.005 of the face box, which
is about one step of bfloat16 at a position of 1, and a GRU adds hundreds of small changes to its state.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

PRECISION = "highest"  # of products: accelerators round the factors of float32 ones otherwise


class BidirectionalGRU(nn.Module):
    """One bidirectional GRU layer with torch's gates, so that torch's weights can be loaded.

    r = sigmoid(x W_ir + b_ir + h W_hr + b_hr); z likewise; n = tanh(x W_in + b_in + r * (h W_hn + b_hn));
    h' = (1 - z) n + z h. Parameters hold both directions on axis 0 (forward, backward), gates in the order r, z, n:
    kernel_ih (2, F, 3H), kernel_hh (2, H, 3H), bias_ih and bias_hh (2, 3H), initial_state (2, H). The two directions
    run in one scan, the backward one over the reversed sequence: half the steps, twice the work in each.
    """

    hidden: int
    memory: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "N T F"]) -> Float[Array, "N 2*{self.hidden}"]:
        """The two final states, forward and backward, concatenated."""
        n, features = x.shape[0], x.shape[-1]
        bound = self.hidden**-0.5

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        gates = 3 * self.hidden
        kernel_ih = self.param("kernel_ih", uniform, (2, features, gates), jnp.float32)
        kernel_hh = self.param("kernel_hh", uniform, (2, self.hidden, gates), jnp.float32)
        bias_ih = self.param("bias_ih", self.start_bias(uniform), (2, gates), jnp.float32)
        bias_hh = self.param("bias_hh", uniform, (2, gates), jnp.float32)
        start = self.param("initial_state", nn.initializers.zeros, (2, self.hidden), jnp.float32)

        both = jnp.stack([x, x[:, ::-1]])
        projected = jnp.einsum("dntf,dfg->tdng", both, kernel_ih, precision=PRECISION) + bias_ih[:, None]

        def step(h, gates_x):
            gates_h = jnp.einsum("dnh,dhg->dng", h, kernel_hh, precision=PRECISION) + bias_hh[:, None]
            r_x, z_x, n_x = jnp.split(gates_x, 3, axis=-1)
            r_h, z_h, n_h = jnp.split(gates_h, 3, axis=-1)
            r, z = nn.sigmoid(r_x + r_h), nn.sigmoid(z_x + z_h)
            new = jnp.tanh(n_x + r * n_h)
            return (1 - z) * new + z * h, None

        final, _ = lax.scan(step, jnp.broadcast_to(start[:, None], (2, n, self.hidden)), projected)
        return final.transpose(1, 0, 2).reshape(n, 2 * self.hidden)

    def start_bias(self, uniform: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        """torch's start, or with `memory` the update gate's at log(U(1, memory)).

        Such units forget over as many frames ("chrono" initialisation; Tallec and Ollivier, ICLR 2018).
        """
        if not self.memory:
            return uniform

        def chrono(key, shape, dtype):
            frames = jax.random.uniform(key, (shape[0], self.hidden), dtype, 1.0, self.memory)
            return uniform(key, shape, dtype).at[:, self.hidden : 2 * self.hidden].set(jnp.log(frames))

        return chrono


class Branch(nn.Module):
    """One stream of LRNet: point dropout, bidirectional GRU, residual MLP, noise.

    Attributes:
      hidden: units of a direction; the output is twice as wide.
      point_dropout: share of points that are dropped, each for the whole clip, x and y together.
      dropout: before the MLP, inside it, and after its residual, as in LRNet's code.
      noise: std of the Gaussian noise on the output. Training only, from the "dropout" key.
    """

    hidden: int
    point_dropout: float
    dropout: float
    noise: float
    memory: float = 0.0

    @nn.compact
    def __call__(self, points: Float[Array, "N T 68 2"], *, train: bool) -> Float[Array, "N 2*{self.hidden}"]:
        n, t = points.shape[:2]
        x = nn.Dropout(self.point_dropout, broadcast_dims=(1, 3), deterministic=not train)(points)
        x = BidirectionalGRU(self.hidden, self.memory, name="gru")(x.reshape(n, t, -1))
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = drop(x)
        y = drop(nn.relu(nn.Dense(2 * self.hidden, precision=PRECISION, name="fc1")(x)))
        x = drop(x + nn.Dense(2 * self.hidden, precision=PRECISION, name="fc2")(y))
        if train and self.noise:
            x += self.noise * jax.random.normal(self.make_rng("dropout"), x.shape, x.dtype)
        return x


class LandmarkRNN(nn.Module):
    """Positions and deltas, each through a Branch: (N, T, 68, 2) float32 -> (N, 4 hidden) float32.

    The deltas, landmarks[t+1] - landmarks[t], are made here: they are no independent input.

    Attributes:
      hidden, point_dropout, dropout, noise: of each Branch.
      delta_scale: factor on the deltas; the reference has 1. A frame moves a point by some 0.005, which a GRU that
        starts at random hardly sees.
      memory: frames that the GRUs' units remember at the start, 0: torch's start. See BidirectionalGRU.start_bias.
    """

    hidden: int
    point_dropout: float
    dropout: float
    noise: float
    delta_scale: float
    memory: float

    @nn.compact
    def __call__(
        self,
        landmarks: Float[Array, "N T 68 2"],
        unjittered: Float[Array, "N T 68 2"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "N 4*{self.hidden}"]:
        """unjittered: the points whose deltas are read; None: landmarks."""
        settings = (self.hidden, self.point_dropout, self.dropout, self.noise, self.memory)
        moving = landmarks if unjittered is None else unjittered
        deltas = self.delta_scale * (moving[:, 1:] - moving[:, :-1])
        positions = Branch(*settings, name="positions")(landmarks, train=train)
        motion = Branch(*settings, name="deltas")(deltas, train=train)
        return jnp.concatenate([positions, motion], axis=-1)
