"""What training shows of a clip's stills: some of them, at another place, size and colour. Pure functions of a key.

Few people have few stills: after some epochs an encoder that is trained whole knows them, and their classes.
The stills and the views of a clip get one draw, so that pairs stay aligned; frames and landmarks are left as they are,
for a pulse is weaker than any change of colour.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray

ZOOM = (0.9, 1.2)  # of the picture
SHIFT = 0.08  # of its side, both ways
GAIN, OFFSET = (0.8, 1.2), 15.0  # of the contrast around the mean colour; grey levels that each colour is moved by


def drawn(key: PRNGKeyArray, stills: Num[Array, "B V K S S 3"], count: int) -> Num[Array, "B V k S S 3"]:
    """`count` of the K stills, the same of every clip, in their order; all of them with 0 or where K is no more."""
    held = stills.shape[2]
    if not 0 < count < held:
        return stills
    return stills[:, :, jnp.sort(jax.random.choice(key, held, (count,), replace=False))]


def varied(key: PRNGKeyArray, stills: Num[Array, "B V K S S 3"]) -> Float[Array, "B V K S S 3"]:
    """Shifted, zoomed, and of another contrast and colour; grey levels of 0 to 255, float32.

    Beyond the picture its border is repeated.
    """
    place_key, zoom_key, gain_key, offset_key = jax.random.split(key, 4)
    clips, side = stills.shape[0], stills.shape[-2]
    zoom = jax.random.uniform(zoom_key, (clips, 1), minval=ZOOM[0], maxval=ZOOM[1])
    shift = jax.random.uniform(place_key, (clips, 2), minval=-SHIFT, maxval=SHIFT)
    # Of each output pixel, where it lies in the picture: (B, 2, S), rows and columns.
    at = (jnp.arange(side) - (side - 1) / 2) / zoom[..., None] + (side - 1) / 2 + side * shift[..., None]
    rows, columns = jnp.moveaxis(_weights(jnp.clip(at, 0, side - 1), side), 1, 0)
    x = jnp.einsum("bgh,bvkhwc->bvkgwc", rows, stills.astype(jnp.float32))
    x = jnp.einsum("buw,bvkgwc->bvkguc", columns, x)
    gain = jax.random.uniform(gain_key, (clips, 1, 1, 1, 1, 1), minval=GAIN[0], maxval=GAIN[1])
    offset = jax.random.uniform(offset_key, (clips, 1, 1, 1, 1, 3), minval=-OFFSET, maxval=OFFSET)
    mean = x.mean(axis=(3, 4), keepdims=True)
    return jnp.clip((x - mean) * gain + mean + offset, 0.0, 255.0)


def _weights(at: Float[Array, "B 2 S"], side: int) -> Float[Array, "B 2 S {side}"]:
    """Bilinear weights of the picture's pixels at positions `at`."""
    return jnp.maximum(1.0 - jnp.abs(at[..., None] - jnp.arange(side)), 0.0)
