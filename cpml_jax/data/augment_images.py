"""SimCLR's random views of images (Chen et al., ICML 2020, appendix A), with FLIP's amounts: pure functions of a key.

The K frames of a clip get one draw: only the clip's motion differs between frames. Images are (B, K, S, S, 3) float32
in [0, 1] throughout, and every function draws once a clip.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of the crop: share of the image; width over height, log-uniform
JITTER, JITTERED = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}, 0.8  # amounts; probability
GREY = 0.2  # probability
BLUR, BLURRED = (0.1, 2.0), 0.5  # standard deviation in pixels of an image of 224; probability
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def two_views(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Two independent random views of every clip: (2, B, K, size, size, 3)."""
    return jnp.stack([random_view(k, images, size) for k in jax.random.split(key)])


def random_view(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Crop and resize, colour jitter, grey, blur, flip: (B, K, size, size, 3).

    The jitter's four steps come in one order (published: a random one).
    """
    crop_key, jitter_key, grey_key, blur_key, flip_key = jax.random.split(key, 5)
    x = resized_crop(crop_key, images, size)
    x = jnp.where(_some(jitter_key, x, JITTERED), colour_jitter(jitter_key, x), x)
    x = jnp.where(_some(grey_key, x, GREY), _grey(x), x)
    x = jnp.where(_some(blur_key, x, BLURRED), blurred(blur_key, x), x)
    return jnp.where(_some(flip_key, x, 0.5), x[..., ::-1, :], x)


def _some(key: jax.Array, images: jax.Array, probability: float) -> jax.Array:
    """(B, 1, 1, 1, 1) bool, which clips."""
    return jax.random.bernoulli(jax.random.fold_in(key, 0), probability, (len(images), 1, 1, 1, 1))


def _draw(key: jax.Array, images: jax.Array, low: float, high: float) -> jax.Array:
    """(B, 1, 1, 1, 1) uniform."""
    return jax.random.uniform(jax.random.fold_in(key, 1), (len(images), 1, 1, 1, 1), minval=low, maxval=high)


def resized_crop(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """A random rectangle inside the image, resized to a square: (B, K, size, size, 3)."""
    clips, side = images.shape[0], images.shape[-2]
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (clips,), minval=AREA[0], maxval=AREA[1])
    ratio = jnp.exp(jax.random.uniform(ratio_key, (clips,), minval=jnp.log(RATIO[0]), maxval=jnp.log(RATIO[1])))
    # Height, width as shares of the side; one that is too long is cut, where torchvision draws again.
    extent = jnp.minimum(jnp.sqrt(jnp.stack([area / ratio, area * ratio], axis=-1)), 1.0)
    corner = jax.random.uniform(place_key, (clips, 2)) * (1 - extent)

    def crop(image: jax.Array, extent: jax.Array, corner: jax.Array) -> jax.Array:
        scale = size / (side * extent)
        shape = (*image.shape[:-3], size, size, 3)
        axes = (image.ndim - 3, image.ndim - 2)
        return jax.image.scale_and_translate(image, shape, axes, scale, -corner * side * scale, "linear")

    return jax.vmap(crop)(images, extent, corner)


def colour_jitter(key: jax.Array, images: jax.Array) -> jax.Array:
    """Brightness, contrast and saturation times 1 +- the amount, hue turned by +- its share of a circle."""
    keys = jax.random.split(jax.random.fold_in(key, 2), 4)
    brightness, contrast, saturation = (
        _draw(k, images, 1 - JITTER[name], 1 + JITTER[name])
        for k, name in zip(keys[:3], ("brightness", "contrast", "saturation"), strict=True)
    )
    x = jnp.clip(images * brightness, 0, 1)
    mean = _grey(x).mean(axis=(2, 3, 4), keepdims=True)  # of each frame
    x = jnp.clip(mean + contrast * (x - mean), 0, 1)
    x = jnp.clip(_grey(x) + saturation * (x - _grey(x)), 0, 1)
    return turned_hue(x, _draw(keys[3], images, -JITTER["hue"], JITTER["hue"]))


def _grey(images: jax.Array) -> jax.Array:
    luma = (images * jnp.asarray(_LUMA, images.dtype)).sum(axis=-1, keepdims=True)
    return jnp.broadcast_to(luma, images.shape)


def turned_hue(images: jax.Array, turn: jax.Array) -> jax.Array:
    """RGB (..., 3) with its hue turned by `turn` circles, saturation and value of HSV kept."""
    r, g, b = jnp.moveaxis(images, -1, 0)
    value, low = images.max(axis=-1), images.min(axis=-1)
    span = value - low
    safe = jnp.maximum(span, 1e-8)
    hue = jnp.where(value == r, (g - b) / safe, jnp.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    corner = (jnp.asarray([5.0, 3.0, 1.0], images.dtype) + (hue[..., None] + 6 * turn)) % 6
    return value[..., None] - span[..., None] * jnp.clip(jnp.minimum(corner, 4 - corner), 0, 1)


def blurred(key: jax.Array, images: jax.Array) -> jax.Array:
    """Gaussian blur; past the border the weights inside are rescaled."""
    size = images.shape[-2]
    deviation = _draw(key, images, *BLUR)[:, 0, 0] * size / 224  # (B, 1, 1)
    distance = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
    kernel = jax.nn.softmax(-0.5 * (distance / deviation) ** 2, axis=-1)  # (B, out, in)
    return jnp.einsum("bgh,bvw,bkhwc->bkgvc", kernel, kernel, images)
