"""The visual stream's image encoders: how each is built, what pictures it expects, and what of it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from cpml_jax.errors import UserError
from cpml_jax.models import views
from cpml_jax.models.clip import ImageEncoder
from cpml_jax.models.efficientnet_lite import FEATURES, READ, STAGES, EfficientNetLite0, pooled
from cpml_jax.models.region_contrast import NUMBERS, region_contrast
from cpml_jax.models.running_standard import RunningStandard

CLIP, LITE, NONE = "clip", "efficientnet_lite0", "none"
ENCODERS = (CLIP, LITE, NONE)
TRAINED = ("all", "norm", "none")
GLOBAL, REGIONS = POOLS = ("global", "regions")
LEAST_SIZE = 32  # pixels: the last stage's output is 1 x 1 there
# As its weights were trained: grey levels x as (x - 127) / 128. (The stem's running statistics agree: on frames of 30
# real face videos its outputs deviate 0.76 times as much, and with ImageNet's usual means and deviations 1.68 times.)
LITE_NORM = ((127 / 255,) * 3, (128 / 255,) * 3)
_NORMS = {CLIP: views.CLIP_NORM, LITE: LITE_NORM}

# Of READ, those whose inner face is compared with the rim: all but the coarsest (docs/method.md, Why regions).
_CONTRASTED = slice(4)
WIDTHS = {GLOBAL: FEATURES, REGIONS: NUMBERS * sum(STAGES[i].channels for i in READ[_CONTRASTED])}  # 1,024 and 384

Settings = Mapping[str, Any]  # config.model.visual, without its weights


class LiteEncoder(nn.Module):
    """K images of a clip -> the clip's numbers.

    Of stages of EfficientNet-Lite0, averaged over the images and standardised by the running statistics of training: a
    linear map that reads them needs numbers of one size, and channels differ by a factor of 100.

    Attributes:
      projection: width of a linear map of them; 0: none, they are WIDTHS[pool] wide.
      pool: global: mean and standard deviation over space of all five stages | regions: inner face less rim
        (region_contrast.py) of the first four, 1/2 to 1/16 of the image.
    """

    projection: int = 0
    pool: str = GLOBAL
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "N K S S 3"], *, train: bool) -> Float[Array, "N F"]:
        """images: as LITE_NORM has them. Returns float32."""
        n, k = images.shape[:2]
        stages = EfficientNetLite0(self.dtype, name="backbone")(images.reshape(n * k, *images.shape[2:]))
        numbers = pooled(stages) if self.pool == GLOBAL else region_contrast(stages[_CONTRASTED])
        numbers = numbers.reshape(n, k, -1).mean(axis=1)
        features = RunningStandard(name="standard")(numbers, train=train)
        if self.projection:
            features = nn.Dense(self.projection, dtype=self.dtype, name="projection")(features)
        return features.astype(jnp.float32)


def build(settings: Settings, unified_dim: int, dtype: Any) -> ImageEncoder | LiteEncoder | None:
    if settings["encoder"] == NONE:
        return None
    if settings["encoder"] == LITE:
        return LiteEncoder(settings["projection"], settings["pool"], dtype)
    shape = {k: settings[k] for k in ("patch", "width", "layers", "heads", "activation") if k in settings}
    return ImageEncoder(projection=unified_dim, dtype=dtype, **shape)


def check(settings: Settings) -> None:
    """Raises UserError, in one line, if the settings do not fit together."""
    size = settings["image_size"]
    if settings["encoder"] == LITE and size < LEAST_SIZE:
        raise UserError(f"model.visual.image_size={size} is below {LEAST_SIZE}, the least that {LITE} can read")
    if settings["encoder"] != CLIP:
        return
    if settings["width"] % settings["heads"]:
        raise UserError(f"model.visual.width={settings['width']} must be a multiple of its {settings['heads']} heads")
    if size % settings["patch"]:
        raise UserError(f"model.visual.image_size={size} must be a multiple of model.visual.patch={settings['patch']}")


def feature_width(encoder: str, projection: int, pool: str, unified_dim: int) -> int:
    """Numbers that an encoder gives of a clip."""
    return (projection or WIDTHS[pool]) if encoder == LITE else unified_dim


def frozen_parts(settings: Settings) -> tuple[str, ...]:
    """Regular expressions of the parameters that `trained` keeps as they are; none match where all are trained.

    norm: scale and bias of the normalisation layers alone, as GenD tunes CLIP (Yermakov et al., 2025). What stands
    behind EfficientNet-Lite0, which has no trained weights, is always trained.
    """
    whole = {CLIP: "visual/", LITE: "visual/backbone/"}.get(settings["encoder"])
    if whole is None or settings["trained"] == "all":
        return ()
    return (whole,) if settings["trained"] == "none" else (rf"{whole}(?!(.*/)?\w*norm\d?/)",)


def embed_stills(
    module: ImageEncoder | LiteEncoder,
    settings: Settings,
    stills: Num[Array, "N K S S 3"],
    downsampled: tuple[str, ...],
    *,
    train: bool,
) -> Float[Array, "NV F"]:
    """Each clip's features in each view (views.visual_views), in (N, V) order."""
    norm = _NORMS[settings["encoder"]]
    images = views.visual_views(stills, downsampled, settings["image_size"], norm)
    return embed_images(module, images.reshape(-1, *images.shape[2:]), train=train)


def embed_pictures(
    module: ImageEncoder | LiteEncoder, settings: Settings, pictures: Num[Array, "N K S S 3"]
) -> Float[Array, "N F"]:
    """Features of K pictures of each clip, grey levels of 0 to 255; no running statistic is changed."""
    norm = _NORMS[settings["encoder"]]
    return embed_images(module, views.encoder_images(pictures, settings["image_size"], norm), train=False)


def embed_images(
    module: ImageEncoder | LiteEncoder, images: Float[Array, "N K S S 3"], *, train: bool
) -> Float[Array, "N F"]:
    """The clip's features from its K images, normalised as the encoder expects; CLIP's are the mean embedding."""
    if isinstance(module, LiteEncoder):
        return module(images, train=train)
    n, k = images.shape[:2]
    return module(images.reshape(n * k, *images.shape[2:])).reshape(n, k, -1).mean(axis=1)
